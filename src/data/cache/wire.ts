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
const MINUS = 0x2d
const ZERO = 0x30
const MAX_DIGITS = 19
const NEAR_BYTES = 32
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

  /** One line, from its first byte to before its end; it is not empty. */
  protected abstract line(bytes: Buffer, from: number, end: number): void
  /** One block; undefined where it was not wanted. */
  protected abstract block(bytes: Buffer | undefined): void

  /** To be called by `line`: what follows is a block. */
  protected expect(length: number, isWanted: boolean): void {
    this.#missing = length + 2
    this.#block = isWanted ? EMPTY : undefined
  }

  #line(bytes: Buffer, from: number): number {
    const end = endOf(bytes, from)
    if ((end < 0 ? bytes.length : end) - from > MAX_LINE_BYTES) throw new Garbled('a line without end')
    if (end < 0 || end + 1 === bytes.length) {
      this.#rest = Buffer.from(bytes.subarray(from))
      return bytes.length
    }
    if (bytes[end + 1] !== LF || end === from) throw new Garbled('a line that is none')
    this.line(bytes, from, end)
    return end + 2
  }

  #more(bytes: Buffer, from: number): number {
    const to = Math.min(bytes.length, from + this.#missing)
    const isFirst = this.#block?.length === 0
    // As most are: whole in one piece, and so without a copy.
    if (isFirst && to - from === this.#missing) {
      this.#missing = 0
      this.#end(bytes, from, to - 2)
      return to
    }
    if (isFirst) this.#block = Buffer.allocUnsafeSlow(this.#missing)
    const block = this.#block
    if (block) bytes.copy(block, block.length - this.#missing, from, to)
    this.#missing -= to - from
    if (this.#missing > 0) return to
    if (block) this.#end(block, 0, block.length - 2)
    else this.block(undefined)
    return to
  }

  /** A whole block, and behind it the end of a line. */
  #end(bytes: Buffer, from: number, to: number): void {
    this.#block = undefined
    if (bytes[to] !== CR || bytes[to + 1] !== LF) throw new Garbled('a block longer than it says')
    this.block(bytes.subarray(from, to))
  }
}

/** Where the line ends, or -1. Most are of some bytes, for which a call of the runtime's takes longer than a loop. */
function endOf(bytes: Buffer, from: number): number {
  const near = Math.min(bytes.length, from + NEAR_BYTES)
  for (let at = from; at < near; at++) if (bytes[at] === CR) return at
  return near === bytes.length ? -1 : bytes.indexOf(CR, near)
}

/** A whole number as these protocols write it; throws Garbled. */
export function decimal(bytes: Uint8Array, from: number, end: number): number {
  const isNegative = bytes[from] === MINUS
  const first = isNegative ? from + 1 : from
  let number = 0
  for (let at = first; at < end; at++) {
    const digit = (bytes[at] as number) - ZERO
    if (digit < 0 || digit > 9) throw new Garbled('a number that is none')
    number = number * 10 + digit
  }
  if (first === end || end - first > MAX_DIGITS) throw new Garbled('a number that is none')
  return isNegative ? -number : number
}
