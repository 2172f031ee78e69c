/**
 * Files that somebody else may replace with anything. What is no regular file is refused before a byte is read: a pipe is
 * waited for without end, and with it a thread that other files need; a device has no end.
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

/** It is there, and nothing to be read as a whole. The message says what it is. */
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

/** The bytes of a file that is short. Rejects as `openRegular`. */
export async function readRegular(path: string, maxBytes: number): Promise<Buffer> {
  await using handle = await openRegular(path, maxBytes)
  return await handle.readFile()
}

/** More than any token or certificate has. */
const SECRET_BYTES = 64 * 1024

/** The text of a token or a certificate, without space around it. Rejects as `openRegular`. */
export async function readSecret(path: string): Promise<string> {
  return (await readRegular(path, SECRET_BYTES)).toString('utf8').trim()
}
