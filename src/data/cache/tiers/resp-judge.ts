/**
 * Validates the bytes that a Redis server sends (RESP2) before the client's parser reads them: framing, nesting, counts and
 * lengths, and that no reply comes without a request. Bulk strings are skipped by their length, so a second reading costs
 * little.
 *
 * The parser alone would allocate an array of 30 million places for the ten bytes that announce it, recurse for each
 * nested array, and throw at a reply that nobody waits for.
 */
import { Garbled, type Judge } from './socket-guard.ts'

/** A server's own limit on a bulk string (`proto-max-bulk-len`). */
const MAX_BULK_BYTES = 512 * 1024 * 1024
/** The most bytes of all bulk strings of one reply, unless the tier takes longer values. */
const REPLY_BYTES = 64 * 1024 * 1024
const MAX_LINE_BYTES = 64 * 1024
const MAX_DEPTH = 8
/** The most items of one reply, nested ones included: `CLUSTER SLOTS` of a fragmented cluster is the longest we request. */
const MAX_ITEMS = 1 << 20
const MAX_DIGITS = 19

const CR = 13
const LF = 10
const MINUS = 0x2d
const ZERO = 0x30
const NEAR_BYTES = 32
const EMPTY = Buffer.alloc(0)

/** What a server that expects TLS sends to a plain client: a TLS alert. */
export const TLS_ALERT = 'it answers in TLS'
export const HTTP_ANSWER = 'it answers in HTTP'

export interface RespBounds {
  /** The longest bulk string that the tier takes. */
  readonly maxBytes: number
  /** Published messages come without a request. */
  readonly isSubscriber?: boolean
}

export class RespJudge implements Judge {
  readonly #maxBytes: number
  readonly #isSubscriber: boolean
  /** Commands without a reply. */
  #waiting = 0
  /** The beginning of a line whose end has not arrived. */
  #rest: Buffer = EMPTY
  /** Bytes missing of a bulk string and its CRLF; 0: a line comes next. */
  #missing = 0
  /** The number of items missing of each array that is not whole, the outermost first. */
  readonly #open: number[] = []
  #items = 0
  #bytes = 0

  constructor({ maxBytes, isSubscriber = false }: RespBounds) {
    this.#maxBytes = Math.max(REPLY_BYTES, maxBytes)
    this.#isSubscriber = isSubscriber
  }

  requested(): void {
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
        throw new Garbled(strangerAt(bytes, at))
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

  /** A value is complete, and perhaps the arrays that it ends. */
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

/** What is said by something that is no Redis. */
function strangerAt(bytes: Buffer, at: number): string {
  if (bytes[at] === 0x15) return TLS_ALERT
  return bytes.toString('latin1', at, at + 5) === 'HTTP/' ? HTTP_ANSWER : 'what it says is no RESP'
}

/** Where the line ends, or -1. Most lines are a few bytes long, for which a loop is faster than a call into the runtime. */
function endOf(bytes: Buffer, from: number): number {
  const near = Math.min(bytes.length, from + NEAR_BYTES)
  for (let at = from; at < near; at++) if (bytes[at] === CR) return at
  return near === bytes.length ? -1 : bytes.indexOf(CR, near)
}

/** Parses an integer of this protocol; throws Garbled. */
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
