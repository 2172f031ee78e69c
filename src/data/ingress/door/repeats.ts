/**
 * Whole short requests, head and body, that were answered at once lately, by their bytes (with blanks for volatile values): the
 * same bytes again are one look-up, nothing of them is read or digested. The bytes themselves are what is compared, so no two
 * requests can be taken for each other; what they were answered from is asked whether it still holds.
 */
import { type HitSource, type Repeat, repeatOf } from '../../hits/memory-hit.ts'
import type { RequestHead } from './head.ts'

/** Longer ones are told by a digest, which is cheaper for them. */
const MAX_BYTES = 1024
/** Of one generation; the generation before is kept as well. */
const MAX_REQUESTS = 4096

/** A request under a plain head. */
export interface RepeatedRequest extends Repeat {
  readonly head: RequestHead
}

export class Repeats {
  #young = new Map<string, RepeatedRequest>()
  #old = new Map<string, RepeatedRequest>()

  get(bytes: Buffer): RepeatedRequest | undefined {
    if (bytes.length > MAX_BYTES || this.#young.size === 0) return undefined
    const text = textOf(bytes)
    const known = this.#young.get(text)
    if (known) return known
    const old = this.#old.get(text)
    if (old) this.#set(text, old)
    return old
  }

  /** `bytes` are one request that was answered from `source`. */
  keep(bytes: Buffer, head: RequestHead, source: HitSource): void {
    if (bytes.length > MAX_BYTES) return
    // A head that comes once, as with an id of its own, would fill the table with what never comes again.
    if (head.notes.isRepeated) this.#set(textOf(bytes), { ...repeatOf(head, source), head })
    else head.notes.isRepeated = true
  }

  #set(text: string, request: RepeatedRequest): void {
    if (this.#young.size >= MAX_REQUESTS) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(text, request)
  }
}

const textOf = (bytes: Buffer): string => bytes.toString('latin1')
