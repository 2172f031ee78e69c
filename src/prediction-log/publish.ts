/** Gives a whole file its name. */
import { link, rename, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'

const MAX_NAMES = 1000

/**
 * Renames `path` within its directory. No file is ever replaced: where the name is taken (by a gateway in another container with
 * the same process number, say), the next number is taken. Resolves with the name.
 */
export async function publish(path: string, directory: string, name: string): Promise<string> {
  let free = name
  for (let i = 0; i < MAX_NAMES; i++) {
    if (await renamed(path, join(directory, free))) return free
    free = nextName(free)
  }
  throw new Error(`${directory} has ${MAX_NAMES} files whose names begin as that of ${name}`)
}

/** The name with the next number. */
export function nextName(name: string): string {
  return name.replace(/\d+(?=\.[a-z]+$)/, (seq) => String(Number(seq) + 1).padStart(seq.length, '0'))
}

/** False: the name is taken. */
async function renamed(from: string, to: string): Promise<boolean> {
  const outcome = await linked(from, to)
  // A crash between the two steps has left both names.
  if (outcome === 'taken' && !(await isSame(from, to))) return false
  // This would replace another file; there is no other way on a file system without hard links.
  if (outcome === 'unsupported') await rename(from, to)
  else await unlink(from)
  return true
}

async function linked(from: string, to: string): Promise<'done' | 'taken' | 'unsupported'> {
  try {
    await link(from, to)
    return 'done'
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return 'taken'
    if (NO_LINKS.has(code)) return 'unsupported'
    throw error
  }
}

const NO_LINKS = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK'])

async function isSame(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([stat(one), stat(other)])
  return a.ino === b.ino && a.dev === b.dev
}
