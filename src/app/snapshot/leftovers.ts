/** Removes files that a process which was killed has left unfinished. */
import { readdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

export async function removeLeftovers(file: string): Promise<void> {
  const folder = dirname(file)
  const start = `${basename(file)}.`
  for (const name of await readdir(folder)) {
    if (!name.startsWith(start)) continue
    const pid = /^([1-9][0-9]*)\.tmp$/.exec(name.slice(start.length))?.[1]
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(folder, name), { force: true })
  }
}

/** A process of our own number was one before this. */
function isAlive(pid: number): boolean {
  if (pid === process.pid) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
