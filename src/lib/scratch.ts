/**
 * Memory that something short is written into, to be read once at its end: by a digest, or by whoever copies it. One such
 * place serves a whole thread, and so do the views of it: making one takes as long as hashing some dozen bytes.
 */

/** Longest view that is kept. */
const KEPT_BYTES = 4096 + 256

export class Scratch {
  bytes: Buffer
  readonly #size: number
  /** Of the first bytes, by their number. */
  #views: Buffer[] = []

  constructor(size: number) {
    this.#size = size
    this.bytes = Buffer.allocUnsafeSlow(size)
  }

  /** The first bytes; they stand until somebody else writes. */
  view(length: number): Buffer {
    if (length >= KEPT_BYTES) return this.bytes.subarray(0, length)
    return (this.#views[length] ??= this.bytes.subarray(0, length))
  }

  /** Makes room for `size` bytes; of what was written the first `kept` stay. */
  fit(size: number, kept = 0): void {
    if (size > this.bytes.length) this.#replace(size * 2, kept)
  }

  /** Gives back what a long one took. */
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
