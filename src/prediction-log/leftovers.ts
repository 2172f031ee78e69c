/**
 * Finishes the files that a process has left under hidden names when it was killed: each is cut off behind its last whole record,
 * and published. A file is left by a process of this machine that is not there any more, or one that nobody has written for two
 * hours, which is longer than any file stays open.
 */
import { createReadStream } from 'node:fs'
import { readdir, stat, truncate, unlink } from 'node:fs/promises'
import type { Log } from '../core/log.ts'
import { type Destination, pathIn } from './destination.ts'
import type { Encoder } from './encoder.ts'
import { type FileOwner, type HiddenFile, type LogFormat, readHidden } from './file-name.ts'

const ABANDONED_MS = 2 * 3_600_000

export interface LeftoverParts {
  readonly owner: FileOwner
  readonly encoders: (format: LogFormat) => Promise<Encoder>
  /** Whether this process writes the file now. */
  readonly isOpen: (path: string) => boolean
  readonly log: Log
  readonly wall: () => number
}

/** Never rejects: what cannot be finished stays, and is tried again next time. */
export async function finishLeftovers(to: Destination, parts: LeftoverParts): Promise<void> {
  const names = await readdir(to.folder).catch(() => [])
  for (const name of names) {
    const file = readHidden(name)
    const path = pathIn(to, name)
    if (!file || parts.isOpen(path) || to.waiting.has(path)) continue
    try {
      if (await isLeft(file, path, parts)) await finish(to, { ...file, path }, parts)
    } catch (error) {
      parts.log.warn('prediction-log.leftover', { file: path, error: String(error) })
    }
  }
}

async function isLeft(
  { host, pid }: HiddenFile,
  path: string,
  { owner, wall }: LeftoverParts,
): Promise<boolean> {
  const isOurs = host === owner.host && (pid === owner.pid || !isAlive(pid))
  return isOurs || wall() - (await stat(path)).mtimeMs > ABANDONED_MS
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it is another user's.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

async function finish(
  to: Destination,
  { path, name, format }: HiddenFile & { readonly path: string },
  { encoders, log }: LeftoverParts,
): Promise<void> {
  const { size } = await stat(path)
  const encoder = await encoders(format)
  const bytes = await encoder.wholeBytes(createReadStream(path, { highWaterMark: 1 << 20 }))
  log.info('prediction-log.recovered', { file: name, bytes, cutBytes: size - bytes })
  if (bytes === 0) return unlink(path)
  if (bytes < size) await truncate(path, bytes)
  await to.publish({ path, name, bytes })
}
