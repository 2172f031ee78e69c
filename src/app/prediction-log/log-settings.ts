/** The settings of prediction logs in the writer's form. */

import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Settings } from '../../config/schema.ts'
import { isStoreUrl } from '../../core/store-url.ts'
import type { LogSettings } from '../../prediction-log/writer.ts'
import { storeFolder } from '../store-folder.ts'

export function logSettingsOf(settings: Settings): LogSettings[] {
  return settings.routes.flatMap(({ name: route, log }): LogSettings[] => {
    if (!log) return []
    const { to, format, roll, spool } = log
    const base = { route, format, roll: { ...roll } }
    if (!isStoreUrl(to)) return [{ ...base, folder: to }]
    return [{ ...base, folder: spoolFolder(settings, to), remote: { url: to, spoolBytes: spool } }]
  })
}

/** A folder for each far directory, so that what a start finds there goes to the right one. */
function spoolFolder(settings: Settings, to: string): string {
  return join(storeFolder(settings), 'spool', createHash('sha256').update(to).digest('hex').slice(0, 16))
}
