/**
 * Validates the bytes that a Memcached server sends (binary protocol) before memjs reads them: each answer must belong to a
 * request, and its lengths must add up. It passes on whole answers only: memjs joins all pending bytes with each new
 * chunk, and waits for ever behind lengths that do not add up.
 */
import { Garbled } from './socket-guard.ts'

const HEADER_BYTES = 24
const ANSWER = 0x81
const STAT = 0x10
/** The most bytes of one answer, unless the tier takes longer values. */
const ANSWER_BYTES = 64 * 1024 * 1024
const EMPTY = Buffer.alloc(0)

export class MemcachedJudge {
  readonly #maxBytes: number
  /** Requests without an answer: number and operation. */
  readonly #waiting = new Map<number, number>()
  /** The bytes of an answer that is not whole, and the length from which on it can be read further. */
  #pieces: Buffer[] = []
  #length = 0
  #needed = HEADER_BYTES

  /** `maxBytes`: the longest value that the tier takes. */
  constructor(maxBytes: number) {
    this.#maxBytes = Math.max(ANSWER_BYTES, maxBytes)
  }

  requested(request: Buffer): void {
    this.#waiting.set(request.readUInt32BE(12), request[1] as number)
  }

  /** The answers that this chunk completes, one behind the other. Throws Garbled; it must not be called again after that. */
  read(chunk: Buffer): Buffer {
    this.#pieces.push(chunk)
    this.#length += chunk.length
    if (this.#length < this.#needed) return EMPTY
    const bytes = this.#pieces.length === 1 ? chunk : Buffer.concat(this.#pieces)
    let end = 0
    for (;;) {
      const left = bytes.length - end
      this.#needed = left < HEADER_BYTES ? HEADER_BYTES : this.#lengthOf(bytes, end)
      if (left < this.#needed) break
      this.#answered(bytes, end)
      end += this.#needed
    }
    this.#length = bytes.length - end
    this.#pieces = this.#length > 0 ? [bytes.subarray(end)] : []
    return bytes.subarray(0, end)
  }

  #lengthOf(bytes: Buffer, at: number): number {
    if (bytes[at] !== ANSWER) throw new Garbled('what it says is not the protocol of memcached')
    if (this.#waiting.get(bytes.readUInt32BE(at + 12)) !== bytes[at + 1])
      throw new Garbled('it said what nobody asked for')
    const body = bytes.readUInt32BE(at + 8)
    if (body < bytes.readUInt16BE(at + 2) + (bytes[at + 4] as number))
      throw new Garbled('an answer shorter than its parts')
    if (body > this.#maxBytes) throw new Garbled(`an answer of more than ${this.#maxBytes} bytes`)
    return HEADER_BYTES + body
  }

  #answered(bytes: Buffer, at: number): void {
    // Settings come one by one, and an empty one behind the last.
    const isMore =
      bytes[at + 1] === STAT && bytes.readUInt32BE(at + 8) > 0 && bytes.readUInt16BE(at + 6) === 0
    if (!isMore) this.#waiting.delete(bytes.readUInt32BE(at + 12))
  }
}
