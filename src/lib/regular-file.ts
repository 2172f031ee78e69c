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

const PIECE_BYTES = 512 * 1024

/** The whole content of a file. Rejects with an UnreadableError, or with what the system says. */
export async function readRegular(path: string, maxBytes: number): Promise<Buffer> {
  await using handle = await openRegular(path, maxBytes)
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of handle.createReadStream({ autoClose: false, highWaterMark: PIECE_BYTES })) {
    bytes += (piece as Buffer).length
    // It may have grown since it was opened, and may grow for as long as it is read.
    if (bytes > maxBytes) throw tooLong(maxBytes)
    pieces.push(piece as Buffer)
  }
  return Buffer.concat(pieces, bytes)
}

async function openRegular(path: string, maxBytes: number): Promise<FileHandle> {
  // Without this, opening a pipe that nobody writes to waits for ever.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const status = await handle.stat()
  if (status.isFile() && status.size <= maxBytes) return handle
  await handle.close()
  if (status.isDirectory()) throw new UnreadableError('folder', 'it is a folder')
  if (!status.isFile()) throw new UnreadableError('irregular', 'it is no regular file')
  throw tooLong(maxBytes)
}

function tooLong(maxBytes: number): UnreadableError {
  return new UnreadableError('long', `it is larger than ${maxBytes} bytes`)
}

/** More than any token or certificate has. */
const SECRET_BYTES = 64 * 1024

/** The text of a token or certificate, trimmed. Rejects as `readRegular`. */
export async function readSecret(path: string): Promise<string> {
  return (await readRegular(path, SECRET_BYTES)).toString('utf8').trim()
}
