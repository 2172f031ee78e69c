/** The folder of this machine for what comes from stores and what goes to them. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Settings } from '../config/schema.ts'

/** By default that of this user, so that nobody else puts a model there. */
export function storeFolder({ stores }: Pick<Settings, 'stores'>): string {
  return stores.dir ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'infergate')
}
