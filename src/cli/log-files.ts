/** The files of a prediction log: one, or those of a folder. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { UserError } from './user-error.ts'

/** In the order of their names, which is that of time. `what`: as messages name it. Rejects with a UserError. */
export async function logFiles(path: string, what = path): Promise<string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [path]
    const names = (await readdir(path)).filter((name) => /^[^.].*\.jsonl$/.test(name))
    if (names.length > 0) return names.sort().map((name) => join(path, name))
  } catch (error) {
    throw new UserError(`cannot read ${what}: ${(error as Error).message}`)
  }
  throw new UserError(`${what} has no .jsonl file`)
}
