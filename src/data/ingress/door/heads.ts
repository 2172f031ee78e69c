/**
 * Heads that were read lately, by their bytes: clients repeat them, on one connection and over many, and one that is
 * the same, byte for byte, is not read again, nor is what follows from it worked out again.
 */
import { Generations } from '../../../lib/generations.ts'
import { type ParsedHead, type RequestHead, readHead } from './head.ts'

/** Longer heads are read each time. */
const MAX_BYTES = 2048
const END = '\r\n\r\n'

export class Heads {
  readonly #maxHeadBytes: number
  /** Those that nobody has sent for a whole generation are forgotten. */
  readonly #known = new Generations<RequestHead>(512)

  /** Longer heads are node:http's. */
  constructor(maxHeadBytes: number) {
    this.#maxHeadBytes = maxHeadBytes
  }

  read(bytes: Buffer): ParsedHead {
    const end = bytes.indexOf(END, 0, 'latin1')
    if (end < 0 || end + END.length > MAX_BYTES) return readHead(bytes, this.#maxHeadBytes)
    const text = bytes.toString('latin1', 0, end + END.length)
    const known = this.#known.get(text)
    if (known) return known
    const head = readHead(bytes, this.#maxHeadBytes)
    if (typeof head === 'object' && head.bytes === text.length) this.#known.set(text, head)
    return head
  }
}

/** A head of up to so many bytes is remembered, in case the next is the same. */
const MAX_REMEMBERED_BYTES = 2048

/** The heads of one connection: the last one comes again more often than not, and is compared without being looked up. */
export class OwnHeads {
  readonly #heads: Heads
  #last: RequestHead | undefined
  #lastBytes: Buffer | undefined

  constructor(heads: Heads) {
    this.#heads = heads
  }

  read(bytes: Buffer): ParsedHead {
    const last = this.#lastBytes
    const isLonger = last !== undefined && bytes.length >= last.length
    if (isLonger && this.#last && bytes.compare(last, 0, last.length, 0, last.length) === 0) return this.#last
    const head = this.#heads.read(bytes)
    if (typeof head === 'object' && head.bytes <= MAX_REMEMBERED_BYTES) {
      this.#last = head
      // A copy: the bytes around it must not be kept alive with it, and are used again.
      this.#lastBytes = Buffer.copyBytesFrom(bytes, 0, head.bytes)
    }
    return head
  }
}
