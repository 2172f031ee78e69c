/**
 * Reads files that somebody else may replace with anything. What is not a regular file is refused before a byte is
 * read: reading a pipe would wait without end and block a thread of the pool, and a device has no end.
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

/** The path exists, but is no regular file or too long. The message says which. */
export class UnreadableError extends Error {
  readonly what: 'folder' | 'irregular' | 'long'

  constructor(what: UnreadableError['what'], message: string) {
    super(message)
    this.name = 'UnreadableError'
    this.what = what
  }
}

/** Rejects with an UnreadableError, or with what the system says. The caller closes it. */
export async function openRegular(path: string, maxBytes: number): Promise<FileHandle> {
  // Without this, opening a pipe that nobody writes to waits for ever.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const status = await handle.stat()
  if (status.isFile() && status.size <= maxBytes) return handle
  await handle.close()
  if (status.isDirectory()) throw new UnreadableError('folder', 'it is a folder')
  if (!status.isFile()) throw new UnreadableError('irregular', 'it is no regular file')
  throw new UnreadableError('long', `it is larger than ${maxBytes} bytes`)
}

/** The whole content of a file. Rejects as `openRegular`. */
export async function readRegular(path: string, maxBytes: number): Promise<Buffer> {
  await using handle = await openRegular(path, maxBytes)
  return await handle.readFile()
}

/** More than any token or certificate has. */
const SECRET_BYTES = 64 * 1024

/** The text of a token or certificate, trimmed. Rejects as `openRegular`. */
export async function readSecret(path: string): Promise<string> {
  return (await readRegular(path, SECRET_BYTES)).toString('utf8').trim()
}
