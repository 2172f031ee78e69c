/**
 * A file while it is written. Each write has its position, so that what a failed write may have left is overwritten by the next
 * one, or cut off at the end.
 */
import { type FileHandle, open, unlink } from 'node:fs/promises'

export class LogFile {
  readonly path: string
  readonly #handle: FileHandle
  /** Bytes of whole records. */
  length = 0

  private constructor(path: string, handle: FileHandle) {
    this.path = path
    this.#handle = handle
  }

  /** Rejects where there is such a file. */
  static async create(path: string): Promise<LogFile> {
    return new LogFile(path, await open(path, 'wx', 0o640))
  }

  /** Rejects where not all was written, and then nothing counts as written. */
  async append(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const rest = bytes.length - done
      const { bytesWritten } = await this.#handle.write(bytes, done, rest, this.length + done)
      done += bytesWritten
    }
    this.length += bytes.length
  }

  /** Closes it as it is. */
  async abandon(): Promise<void> {
    await this.#handle.close()
  }

  /** Cuts off what is not whole, and has the disk keep the rest over a power failure. An empty file is removed: false. */
  async finish(): Promise<boolean> {
    try {
      await this.#handle.truncate(this.length)
      await this.#handle.sync()
    } finally {
      await this.#handle.close()
    }
    if (this.length > 0) return true
    await unlink(this.path)
    return false
  }
}
