/**
 * A cache of parsed heads by their bytes. Clients repeat their heads, on one connection and on many. A head that is equal byte
 * for byte, volatile values aside, is not parsed again, and what depends on it is not computed again.
 */
import { Generations } from '../../../lib/generations.ts'
import { type ParsedHead, type RequestHead, readHead } from './head.ts'

/** Longer heads are parsed each time. */
const MAX_BYTES = 2048
const END = '\r\n\r\n'
/** Heads of each kind that are remembered, twice as many at most. */
const HEADS = 512

export class HeadCache {
  readonly #maxHeadBytes: number
  /** A head that nobody sent during a whole generation is forgotten. */
  readonly #known = new Generations<RequestHead>(HEADS)
  /**
   * Heads that came once. Only the second time is one stored: a flood of heads that are all different, each with a wrong key of
   * its own, say, must neither oust those of others nor keep the collector busy.
   */
  readonly #once = new Generations<true>(HEADS)

  /** `maxHeadBytes`: longer heads are left to node:http. */
  constructor(maxHeadBytes: number) {
    this.#maxHeadBytes = maxHeadBytes
  }

  /** The head that was stored under this text. */
  find(text: string): RequestHead | undefined {
    return this.#known.get(text)
  }

  /** Parses the head at the beginning of `bytes`. `text`: from `headText`, to find it by. */
  read(bytes: Buffer, text: string): ParsedHead {
    const head = readHead(bytes, this.#maxHeadBytes)
    if (typeof head !== 'object' || text === '') return head
    if (this.#once.get(text) || this.#known.get(text)) this.#known.set(text, head)
    else this.#once.set(text, true)
    return head
  }
}

/** The head at the beginning of `key` as a string; empty if it is incomplete or too long to be stored. */
export function headText(key: Buffer): string {
  const end = key.indexOf(END, 0, 'latin1') + END.length
  return end < END.length || end > MAX_BYTES ? '' : key.toString('latin1', 0, end)
}
