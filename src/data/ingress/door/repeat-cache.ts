/**
 * A cache of whole short requests, head and body, that were memory hits, by their bytes (with blanks for volatile values): a
 * repeat costs one look-up, and is neither parsed nor digested. The bytes themselves are compared, so no two requests can be
 * confused. Whether the answer still holds is checked at each use.
 */
import { Generations } from '../../../lib/generations.ts'
import { type HitSource, type Repeat, repeatOf } from '../../hits/memory-hit.ts'
import type { RequestHead } from './head.ts'

/** Longer requests are found by their digest, which is cheaper for them. */
const MAX_BYTES = 1024

/** A request under a plain head. */
export interface RepeatedRequest extends Repeat {
  readonly head: RequestHead
}

export class RepeatCache {
  readonly #known = new Generations<RepeatedRequest>(4096)

  get(bytes: Buffer): RepeatedRequest | undefined {
    if (bytes.length > MAX_BYTES || this.#known.isEmpty) return undefined
    return this.#known.get(textOf(bytes))
  }

  /** Stores a request that was answered from `source`; `bytes` are all of it. */
  keep(bytes: Buffer, head: RequestHead, source: HitSource): void {
    if (bytes.length > MAX_BYTES) return
    // A head that comes only once, because it has an id of its own, say, would fill the cache with useless entries.
    if (head.notes.isRepeated) this.#known.set(textOf(bytes), { ...repeatOf(head, source), head })
    else head.notes.isRepeated = true
  }
}

const textOf = (bytes: Buffer): string => bytes.toString('latin1')
