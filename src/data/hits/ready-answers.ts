/**
 * Answers ready to be written, by the digest of a request's raw bytes, so that a byte-identical repeat is not parsed; and by what is
 * asked (`Plan.answer`), so that a request in other words is parsed, but its answer not made anew.
 * They are copies of cache entries, whole or assembled from rows, and local to this process. An answer expires with the
 * first of its entries, and any purge drops all answers.
 */
import type { Digest } from '../../core/key.ts'
import { freshId, placesOf, reissued } from '../../core/own-id.ts'
import type { Reply, TokenCounts } from '../../core/reply.ts'
import type { Clock } from '../../lib/clock.ts'
import { Generations } from '../../lib/generations.ts'
import type { Entry } from '../cache/entry.ts'
import type { FoundFor } from '../decision/cache-decision.ts'
import type { ReadyFields } from '../exchange/ready-fields.ts'
import type { ReadyHead } from '../exchange/ready-head.ts'
import { HotCache, type HotEntry } from './hot-cache.ts'

export interface ReadyAnswer extends Pick<Entry, 'createdAt' | 'ttlMs' | 'swrMs' | 'sieMs'> {
  /** As its first caller got it (`replyFrom`). */
  readonly reply: Reply & { readonly body: Uint8Array }
  /** What it counts for. */
  readonly bytes: number
  /** Monotonic milliseconds. */
  readonly expiresAt: number
  /** Where its id stands in the body; empty: it has none. */
  readonly places: readonly number[]
  readonly saved: TokenCounts | undefined
  /** Rows that it answers. */
  readonly rows: number
  /** Undefined: the digest covers route and model. */
  readonly of?: FoundFor | undefined
  /** Made at the first hit over HTTP/1.1. */
  head?: ReadyHead
  /** The same for HTTP/2. */
  fields?: ReadyFields
}

/** What an answer was made for: a request's bytes, and what they ask for (`Plan.answer`). */
export interface MadeFor {
  readonly raw: Digest
  readonly answer: Digest | undefined
}

/** Of one generation of digests, of which two are held: some 800 KB. */
const MAX_SEEN = 4096

/** What an answer takes beside its body: head, object and table entry. */
const OVERHEAD_BYTES = 768

/** What a place of an id takes. */
const PLACE_BYTES = 8

const NOWHERE: readonly number[] = []

/** Larger answers gain nothing: writing them costs more than reading the request does. */
const MAX_BODY_BYTES = 256 * 1024

/** The body for one more caller, with an id of its own. */
export function bodyFrom({ reply, places }: Pick<ReadyAnswer, 'reply' | 'places'>): Uint8Array {
  const { body, ownId } = reply
  return ownId === undefined ? body : reissued(body, freshId(ownId), places)
}

/** The reply for one more caller. */
export function replyFrom(answer: ReadyAnswer): Reply {
  const { reply } = answer
  return reply.ownId === undefined ? reply : { ...reply, body: bodyFrom(answer) }
}

export class ReadyAnswers {
  readonly #hot: HotCache<ReadyAnswer>
  readonly #clock: Clock
  /** The digest of the last look-up that found nothing. */
  #missed: Digest | undefined
  /** Digests of what asked for an answer that was there: most bytes never come again, and most answers are asked for in one form. */
  readonly #seen = new Generations<true>(MAX_SEEN)

  constructor(options: { readonly maxBytes: number; readonly clock: Clock }) {
    this.#hot = new HotCache(options)
    this.#clock = options.clock
  }

  /** `now`: monotonic milliseconds, if the caller has read the clock already. */
  get(raw: Digest, now?: number): ReadyAnswer | undefined {
    // A request that is no memory hit is looked up a second time at once, by the pipeline.
    if (raw === this.#missed) return undefined
    const answer = this.#hot.get(raw, now)
    if (!answer) this.#missed = raw
    return answer
  }

  find(raw: Digest, now: number): HotEntry<ReadyAnswer> | undefined {
    return this.#hot.find(raw, now)
  }

  /** Whether an entry found earlier would be found now. */
  holds(kept: HotEntry<ReadyAnswer>, now: number): boolean {
    return this.#hot.holds(kept, now)
  }

  /** The answer by what is asked; from the second request of the same bytes on, these find it as well. */
  byMeaning(answer: Digest, raw: Digest, of: FoundFor | undefined): ReadyAnswer | undefined {
    const known = this.#hot.get(answer)
    if (known && this.#isKnown(raw)) this.#keep(raw, { ...known, of })
    return known
  }

  /** Keeps an answer that was made anew: for the bytes that asked for it, or for all, if it was made before. */
  made({ raw, answer }: MadeFor, reply: Reply, entries: readonly Entry[], of?: FoundFor): void {
    if (answer !== undefined && this.#isKnown(answer)) this.set(answer, reply, entries)
    else this.set(raw, reply, entries, of)
  }

  /** Whether the digest was seen before, not too long ago. */
  #isKnown(digest: Digest): boolean {
    if (this.#seen.get(digest)) return true
    this.#seen.set(digest, true)
    return false
  }

  #keep(digest: Digest, answer: ReadyAnswer): void {
    this.#missed = undefined
    this.#hot.set(digest, answer, answer)
  }

  /** `entries`: those that the reply was made from. */
  set(raw: Digest, reply: Reply, entries: readonly Entry[], of?: FoundFor): void {
    const { body, ownId } = reply
    if (!(body instanceof Uint8Array) || body.length > MAX_BODY_BYTES || entries.length === 0) return
    let createdAt = Number.POSITIVE_INFINITY
    let until = Number.POSITIVE_INFINITY
    for (const entry of entries) {
      createdAt = Math.min(createdAt, entry.createdAt)
      until = Math.min(until, entry.createdAt + entry.ttlMs)
    }
    const left = until - this.#clock.wall()
    if (left <= 0) return
    const { length } = body
    const places = ownId === undefined ? NOWHERE : placesOf(ownId, body)
    const bytes = length + places.length * PLACE_BYTES + OVERHEAD_BYTES
    const life = { bytes, expiresAt: this.#clock.now() + left }
    const { length: rows } = entries
    const saved = reply.saved?.()
    const kept = saved ? { ...reply, body, saved: () => saved } : { ...reply, body }
    const times = { createdAt, ttlMs: until - createdAt, swrMs: 0, sieMs: 0 }
    this.#keep(raw, { reply: kept, places, saved, rows, of, ...times, ...life })
  }

  /** Forgets what was found by either. */
  forget({ raw, answer }: MadeFor): void {
    if (this.get(raw)) this.#hot.delete(raw)
    if (answer !== undefined) this.#hot.delete(answer)
  }

  clear(): void {
    this.#hot.clear()
  }

  get bytes(): number {
    return this.#hot.bytes
  }
}
