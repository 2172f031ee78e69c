/**
 * Where the bytes of a client arrive: in one buffer for all connections, of which whatever is kept is copied, or, for the
 * rest of a long body, in blocks that are kept as they are.
 */

/** Where more of a body than this is missing, the rest of it is read into blocks. */
const LONG_BYTES = 32 * 1024
const BLOCK_BYTES = 64 * 1024

const SHARED = Buffer.allocUnsafeSlow(BLOCK_BYTES)
const MEMORY = SHARED.buffer

export class Arrivals {
  #buffer = SHARED
  #given: Buffer | undefined

  /** What a read of so many bytes has brought. */
  take(size: number): Buffer {
    const bytes = this.#buffer.subarray(0, size)
    if (this.#buffer !== SHARED) this.#buffer = this.#buffer.subarray(size)
    return bytes
  }

  /** Where the next read goes, while so many bytes of a body are missing; undefined: where the last went. */
  next(missing: number): Buffer | undefined {
    // A block is never longer than what is missing: no byte of another request gets into it.
    if (this.#buffer === SHARED || this.#buffer.length === 0)
      this.#buffer = missing > LONG_BYTES ? Buffer.allocUnsafeSlow(Math.min(missing, BLOCK_BYTES)) : SHARED
    if (this.#buffer === this.#given) return undefined
    this.#given = this.#buffer
    return this.#buffer
  }
}

/** `bytes` as they may be kept beyond the turn of the event loop they came in. */
export function kept(bytes: Buffer): Buffer {
  return bytes.buffer === MEMORY ? Buffer.from(bytes) : bytes
}
