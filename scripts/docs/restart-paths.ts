/** The settings that are read at the start only, for the Helm chart: it replaces pods where one of them changes. */
import { FIXED } from '../../src/config/restart.ts'
import { printPath } from '../../src/config/walk.ts'

/** JSON text: a path such as `cache.tiers` to what of it counts, its `value` or its `presence`. */
export function restartPaths(): string {
  const paths = FIXED.map(({ path, on }) => [printPath(path), on])
  return `${JSON.stringify(Object.fromEntries(paths), null, 2)}\n`
}
