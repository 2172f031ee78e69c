/**
 * Heads that were read lately, by their bytes: clients repeat them, on one connection and over many, and one that is
 * the same, byte for byte but for its volatile values, is not read again, nor is what follows from it worked out again.
 */
import { Generations } from '../../../lib/generations.ts'
import { type ParsedHead, type RequestHead, readHead } from './head.ts'

/** Longer heads are read each time. */
const MAX_BYTES = 2048
const END = '\r\n\r\n'

export class HeadCache {
  readonly #maxHeadBytes: number
  /** Those that nobody has sent for a whole generation are forgotten. */
  readonly #known = new Generations<RequestHead>(512)

  /** Longer heads are node:http's. */
  constructor(maxHeadBytes: number) {
    this.#maxHeadBytes = maxHeadBytes
  }

  /** The head that was kept by such bytes. */
  find(key: Buffer): RequestHead | undefined {
    return this.#known.get(textOf(key))
  }

  /** Reads the head, and keeps it by `key`, which is at least as long. */
  read(bytes: Buffer, key = bytes): ParsedHead {
    const head = readHead(bytes, this.#maxHeadBytes)
    if (typeof head === 'object' && head.bytes <= MAX_BYTES) this.#known.set(textOf(key), head)
    return head
  }
}

/** Empty where the end has not come, or is too far. */
function textOf(key: Buffer): string {
  const end = key.indexOf(END, 0, 'latin1') + END.length
  return end < END.length || end > MAX_BYTES ? '' : key.toString('latin1', 0, end)
}
