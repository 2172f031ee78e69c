/**
 * The reading that the protocols of Redis and Memcached have in common: lines that end in CRLF, and blocks of
 * announced length between them. Whatever comes in whatever pieces, a reader holds at most one line and one block.
 */

/** What a server sent is not its protocol; the connection is of no use any more. */
export class Garbled extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Garbled'
  }
}

const MAX_LINE_BYTES = 64 * 1024
const CR = 13
const LF = 10
const EMPTY = Buffer.alloc(0)

export abstract class BlockReader {
  /** The beginning of a line whose end has not come. */
  #rest: Buffer = EMPTY
  /** Bytes that are missing of the block and its CRLF; 0: a line comes next. */
  #missing = 0
  /** Undefined while a block is not wanted: its bytes are let go as they come. */
  #block: Buffer | undefined

  /** Throws Garbled; it must not be called again after that. */
  read(chunk: Buffer): void {
    let at = 0
    let bytes = chunk
    if (this.#rest.length > 0) {
      bytes = Buffer.concat([this.#rest, chunk])
      this.#rest = EMPTY
    }
    while (at < bytes.length) at = this.#missing > 0 ? this.#more(bytes, at) : this.#line(bytes, at)
  }

  /** One line without its end, split behind its first byte. */
  protected abstract line(first: number, rest: string): void
  /** One block; undefined where it was not wanted. */
  protected abstract block(bytes: Buffer | undefined): void

  /** To be called by `line`: what follows is a block. */
  protected expect(length: number, isWanted: boolean): void {
    this.#missing = length + 2
    this.#block = isWanted ? EMPTY : undefined
  }

  #line(bytes: Buffer, from: number): number {
    const end = bytes.indexOf(CR, from)
    if ((end < 0 ? bytes.length : end) - from > MAX_LINE_BYTES) throw new Garbled('a line without end')
    if (end < 0 || end + 1 === bytes.length) {
      this.#rest = Buffer.from(bytes.subarray(from))
      return bytes.length
    }
    if (bytes[end + 1] !== LF || end === from) throw new Garbled('a line that is none')
    this.line(bytes[from] as number, bytes.toString('utf8', from + 1, end))
    return end + 2
  }

  #more(bytes: Buffer, from: number): number {
    const to = Math.min(bytes.length, from + this.#missing)
    const isFirst = this.#block?.length === 0
    // As most are: whole in one piece, and so without a copy.
    if (isFirst && to - from === this.#missing) {
      this.#missing = 0
      this.#end(bytes.subarray(from, to))
      return to
    }
    if (isFirst) this.#block = Buffer.allocUnsafeSlow(this.#missing)
    if (this.#block) bytes.copy(this.#block, this.#block.length - this.#missing, from, to)
    this.#missing -= to - from
    if (this.#missing === 0) this.#end(this.#block)
    return to
  }

  #end(block: Buffer | undefined): void {
    this.#block = undefined
    if (!block) return this.block(undefined)
    const length = block.length - 2
    if (block[length] !== CR || block[length + 1] !== LF) throw new Garbled('a block longer than it says')
    this.block(block.subarray(0, length))
  }
}

/** A whole number as these protocols write it; throws Garbled. */
export function decimal(text: string): number {
  if (!/^-?\d{1,19}$/.test(text)) throw new Garbled('a number that is none')
  return Number(text)
}
