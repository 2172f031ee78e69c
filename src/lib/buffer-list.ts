/**
 * Bytes that arrive in pieces of any size, kept without joining them again at each piece, and without an object a byte where they
 * arrive byte by byte.
 */

/** The first pieces are kept as they come, whatever their size: most bodies have no more. */
const FEW = 16
/** Further pieces smaller than this are copied. */
const SMALL_BYTES = 16 << 10
const BLOCK_BYTES = 64 << 10

export class BufferList {
  length = 0
  readonly #pieces: Uint8Array[] = []
  /** A block in which small pieces are joined: used up to `end`; the part before `start` is a piece already. */
  #block = NOTHING
  #start = 0
  #end = 0

  push(piece: Uint8Array): void {
    this.length += piece.length
    if (this.#pieces.length < FEW || piece.length >= SMALL_BYTES) {
      this.#settle()
      this.#pieces.push(piece)
      return
    }
    if (this.#end + piece.length > this.#block.length) {
      this.#settle()
      this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
      this.#start = this.#end = 0
    }
    this.#block.set(piece, this.#end)
    this.#end += piece.length
  }

  /** Takes out the first piece; undefined: there is none. */
  shift(): Uint8Array | undefined {
    if (this.#pieces.length === 0) this.#settle()
    const piece = this.#pieces.shift()
    if (piece) this.length -= piece.length
    return piece
  }

  pieces(): readonly Uint8Array[] {
    this.#settle()
    return this.#pieces
  }

  /** All bytes in one piece: a copy, unless there is only one. */
  joined(): Buffer {
    this.#settle()
    const [only] = this.#pieces
    if (!only || this.#pieces.length > 1) return Buffer.concat(this.#pieces, this.length)
    return Buffer.isBuffer(only) ? only : Buffer.from(only.buffer, only.byteOffset, only.length)
  }

  /** Makes a piece of what has been written to the block; the rest of the block is still used. */
  #settle(): void {
    if (this.#end > this.#start) this.#pieces.push(this.#block.subarray(this.#start, this.#end))
    this.#start = this.#end
  }
}

const NOTHING = Buffer.alloc(0)
