/**
 * A reusable buffer for short data that is read once, by a digest or by code that copies it. One buffer serves a whole
 * thread, and so do the views of it: making a view takes as long as hashing some dozen bytes.
 */

/** Longest view that is kept for reuse. */
const KEPT_BYTES = 4096 + 256

export class Scratch {
  bytes: Buffer
  readonly #size: number
  /** Views of the first bytes, by length. */
  #views: Buffer[] = []

  constructor(size: number) {
    this.#size = size
    this.bytes = Buffer.allocUnsafeSlow(size)
  }

  /** A view of the first `length` bytes; valid until the next write. */
  view(length: number): Buffer {
    if (length >= KEPT_BYTES) return this.bytes.subarray(0, length)
    return (this.#views[length] ??= this.bytes.subarray(0, length))
  }

  /** Makes room for `size` bytes and keeps the first `kept` of what was written. */
  fit(size: number, kept = 0): void {
    if (size > this.bytes.length) this.#replace(size * 2, kept)
  }

  /** Frees the memory of an unusually long use. */
  shrink(): void {
    if (this.bytes.length > this.#size) this.#replace(this.#size, 0)
  }

  #replace(size: number, kept: number): void {
    const bytes = Buffer.allocUnsafeSlow(size)
    this.bytes.copy(bytes, 0, 0, kept)
    this.bytes = bytes
    this.#views = []
  }
}
