/**
 * Judges what a Redis sends (RESP2), before the client's parser reads it: framing, nesting, counts and bytes, and that nothing
 * is answered which was not asked. Bulk strings are stepped over by their length, so that reading twice costs little.
 *
 * The parser alone would make an array of 30 million places for the ten bytes that announce it, call itself for each array
 * within an array, and throw at an answer that nobody waits for.
 */
import { Garbled, type Judge } from './socket-guard.ts'

/** A server's own bound on a bulk string (`proto-max-bulk-len`). */
const MAX_BULK_BYTES = 512 * 1024 * 1024
/** Of all bulk strings of one answer together, unless one that is wanted may be longer. */
const REPLY_BYTES = 64 * 1024 * 1024
const MAX_LINE_BYTES = 64 * 1024
const MAX_DEPTH = 8
/** Of one answer, arrays within arrays included: `CLUSTER SLOTS` of a torn cluster is the longest we ask for. */
const MAX_ITEMS = 1 << 20
const MAX_DIGITS = 19

const CR = 13
const LF = 10
const MINUS = 0x2d
const ZERO = 0x30
const NEAR_BYTES = 32
const EMPTY = Buffer.alloc(0)

/** How a server that wants TLS answers plain text: with an alert. */
export const TLS_ALERT = 'it answers in TLS'

export interface RespBounds {
  /** The longest bulk string that is wanted. */
  readonly maxBytes: number
  /** What is published comes without being asked for. */
  readonly isSubscriber?: boolean
}

export class RespJudge implements Judge {
  readonly #maxBytes: number
  readonly #isSubscriber: boolean
  /** Commands without an answer. */
  #waiting = 0
  /** The beginning of a line whose end has not come. */
  #rest: Buffer = EMPTY
  /** Bytes that are missing of a bulk string and its CRLF; 0: a line comes next. */
  #missing = 0
  /** Of each array that is not whole, the items that are missing; the outermost first. */
  readonly #open: number[] = []
  #items = 0
  #bytes = 0

  constructor({ maxBytes, isSubscriber = false }: RespBounds) {
    this.#maxBytes = Math.max(REPLY_BYTES, maxBytes)
    this.#isSubscriber = isSubscriber
  }

  asked(): void {
    this.#waiting++
  }

  /** Throws Garbled; it must not be called again after that. */
  read(chunk: Buffer): void {
    let at = 0
    let bytes = chunk
    if (this.#rest.length > 0) {
      bytes = Buffer.concat([this.#rest, chunk])
      this.#rest = EMPTY
    }
    while (at < bytes.length) at = this.#missing > 0 ? this.#skip(bytes, at) : this.#line(bytes, at)
  }

  #skip(bytes: Buffer, from: number): number {
    const end = from + this.#missing
    const to = Math.min(bytes.length, end)
    this.#missing = end - to
    const isEnded =
      (end - 2 < from || end - 2 >= to || bytes[end - 2] === CR) && (end - 1 >= to || bytes[end - 1] === LF)
    if (!isEnded) throw new Garbled('a bulk string longer than it says')
    if (this.#missing === 0) this.#given()
    return to
  }

  #line(bytes: Buffer, from: number): number {
    const end = endOf(bytes, from)
    if ((end < 0 ? bytes.length : end) - from > MAX_LINE_BYTES) throw new Garbled('a line without end')
    if (end < 0 || end + 1 === bytes.length) {
      this.#rest = Buffer.from(bytes.subarray(from))
      return bytes.length
    }
    if (bytes[end + 1] !== LF) throw new Garbled('a line that is none')
    this.#value(bytes, from, end)
    return end + 2
  }

  #value(bytes: Buffer, at: number, end: number): void {
    switch (bytes[at]) {
      case 0x2b: // +
      case 0x2d: // -
        return this.#given()
      case 0x3a: // :
        decimal(bytes, at + 1, end)
        return this.#given()
      case 0x24: // $
        return this.#bulk(decimal(bytes, at + 1, end))
      case 0x2a: // *
        return this.#array(decimal(bytes, at + 1, end))
      default:
        throw new Garbled(bytes[at] === 0x15 ? TLS_ALERT : 'what it says is no RESP')
    }
  }

  #bulk(length: number): void {
    if (length === -1) return this.#given()
    if (length < 0 || length > MAX_BULK_BYTES) throw new Garbled(`a bulk string of ${length} bytes`)
    this.#bytes += length
    if (this.#bytes > this.#maxBytes) throw new Garbled(`an answer of more than ${this.#maxBytes} bytes`)
    this.#missing = length + 2
  }

  #array(length: number): void {
    if (length === -1 || length === 0) return this.#given()
    this.#items += length
    if (length < 0 || this.#items > MAX_ITEMS) throw new Garbled(`an array of ${length}`)
    if (this.#open.length >= MAX_DEPTH) throw new Garbled('arrays within arrays without end')
    this.#open.push(length)
  }

  /** A value is whole, and perhaps the arrays that it ends. */
  #given(): void {
    const open = this.#open
    for (let last = open.length - 1; last >= 0; last--) {
      const left = (open[last] as number) - 1
      open[last] = left
      if (left > 0) return
      open.pop()
    }
    this.#items = 0
    this.#bytes = 0
    if (this.#isSubscriber) return
    if (--this.#waiting < 0) throw new Garbled('it said what nobody asked for')
  }
}

/** Where the line ends, or -1. Most are of some bytes, for which a call of the runtime's takes longer than a loop. */
function endOf(bytes: Buffer, from: number): number {
  const near = Math.min(bytes.length, from + NEAR_BYTES)
  for (let at = from; at < near; at++) if (bytes[at] === CR) return at
  return near === bytes.length ? -1 : bytes.indexOf(CR, near)
}

/** A whole number as this protocol writes it; throws Garbled. */
function decimal(bytes: Uint8Array, from: number, end: number): number {
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
