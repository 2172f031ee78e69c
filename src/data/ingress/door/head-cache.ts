/**
 * A cache of parsed heads by their bytes. Clients repeat their heads, on one connection and on many. A head that is equal byte
 * for byte, volatile values aside, is not parsed again, and what depends on it is not computed again.
 */
import { Generations } from '../../../lib/generations.ts'
import { type ParsedHead, type RequestHead, readHead } from './head.ts'

/** Longer heads are parsed each time. */
const MAX_BYTES = 2048
const END = '\r\n\r\n'

export class HeadCache {
  readonly #maxHeadBytes: number
  /** A head that nobody sent during a whole generation is forgotten. */
  readonly #known = new Generations<RequestHead>(512)

  /** `maxHeadBytes`: longer heads are left to node:http. */
  constructor(maxHeadBytes: number) {
    this.#maxHeadBytes = maxHeadBytes
  }

  /** The head that was stored under these bytes. */
  find(key: Buffer): RequestHead | undefined {
    return this.#known.get(textOf(key))
  }

  /** Parses the head, and stores it under `key`, which is at least as long. */
  read(bytes: Buffer, key = bytes): ParsedHead {
    const head = readHead(bytes, this.#maxHeadBytes)
    if (typeof head === 'object' && head.bytes <= MAX_BYTES) this.#known.set(textOf(key), head)
    return head
  }
}

/** The head's bytes as a string; empty if the head is incomplete or too long. */
function textOf(key: Buffer): string {
  const end = key.indexOf(END, 0, 'latin1') + END.length
  return end < END.length || end > MAX_BYTES ? '' : key.toString('latin1', 0, end)
}
