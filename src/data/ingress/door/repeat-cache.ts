/**
 * Whole short requests, head and body, that were answered at once lately, by their bytes (with blanks for volatile values): the
 * same bytes again are one look-up, nothing of them is read or digested. The bytes themselves are what is compared, so no two
 * requests can be taken for each other; what they were answered from is asked whether it still holds.
 */
import { Generations } from '../../../lib/generations.ts'
import { type HitSource, type Repeat, repeatOf } from '../../hits/memory-hit.ts'
import type { RequestHead } from './head.ts'

/** Longer ones are told by a digest, which is cheaper for them. */
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

  /** `bytes` are one request that was answered from `source`. */
  keep(bytes: Buffer, head: RequestHead, source: HitSource): void {
    if (bytes.length > MAX_BYTES) return
    // A head that comes once, as with an id of its own, would fill the table with what never comes again.
    if (head.notes.isRepeated) this.#known.set(textOf(bytes), { ...repeatOf(head, source), head })
    else head.notes.isRepeated = true
  }
}

const textOf = (bytes: Buffer): string => bytes.toString('latin1')
