/** Checks that bytes which arrive in chunks are UTF-8; a character may lie in two chunks. */
import { isUtf8 } from 'node:buffer'

export class Utf8Check {
  #carry = Buffer.alloc(0)

  /** False as soon as the bytes cannot be UTF-8. */
  push(chunk: Uint8Array): boolean {
    let start = 0
    if (this.#carry.length > 0) {
      const missing = sequenceLength(this.#carry[0] as number) - this.#carry.length
      start = Math.min(missing, chunk.length)
      this.#carry = Buffer.concat([this.#carry, chunk.subarray(0, start)])
      if (start < missing) return true
      if (!isUtf8(this.#carry)) return false
    }
    const end = completeEnd(chunk, start)
    this.#carry = Buffer.from(chunk.subarray(end))
    return isUtf8(chunk.subarray(start, end))
  }

  /** True if the last character is complete. */
  finish(): boolean {
    return this.#carry.length === 0
  }
}

/** How many bytes a character has, by its first byte. */
function sequenceLength(lead: number): number {
  return lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1
}

/** The index of the last character if it is incomplete, otherwise the end. */
function completeEnd(chunk: Uint8Array, start: number): number {
  for (let i = chunk.length - 1; i >= start && i >= chunk.length - 3; i--) {
    const byte = chunk[i] as number
    if (byte >= 0xc0) return i + sequenceLength(byte) > chunk.length ? i : chunk.length
    if (byte < 0x80) break
  }
  return chunk.length
}
