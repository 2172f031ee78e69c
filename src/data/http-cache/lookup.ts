/**
 * The lookup of a call on an opaque route that caches: a shared HTTP cache by RFC 9111.
 *
 *   memory → tiers → fresh? → answer, 304 or 206
 *                     └─ stale or missing: joined: wait
 *                                          ours: load, revalidating what is stored
 */
import { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { Answer } from '../../core/reply.ts'
import { type Awaitable, after, Deferred, subscribe } from '../../lib/deferred.ts'
import type { Flight, Flights, Load } from '../flight/flights.ts'
import type { Forward } from '../upstream/forward.ts'
import { freshnessOf, hit } from './answers.ts'
import { isConditional } from './conditions.ts'
import { joinedAnswer } from './joined.ts'
import { createLead, type Lead, type LeadParts } from './lead.ts'
import type { HttpLoadResult, Leader } from './load.ts'
import { answerDigest } from './node.ts'
import type { HttpLookup, UrlState } from './variant-store.ts'

export interface HttpCacheLookupParts extends LeadParts {
  readonly flights: Flights<HttpLoadResult>
  readonly forward: Forward
}

export class HttpCacheLookup {
  readonly #parts: HttpCacheLookupParts
  readonly #lead: Lead

  constructor(parts: HttpCacheLookupParts) {
    this.#parts = parts
    this.#lead = createLead(parts)
  }

  answer(lookup: HttpLookup): Answer | Awaitable<Answer> {
    const inMemory = this.#parts.store.fromMemory(lookup)
    const known = inMemory.stored && this.#hitOf(lookup, inMemory)
    if (known) return known
    // Where memory has a stale answer, a tier may have one that another gateway has renewed.
    if (!this.#parts.store.hasTiers || !lookup.shared || lookup.directives.noCache)
      return this.#missed(lookup, inMemory)
    return after(this.#parts.store.fromTiers(lookup, inMemory), (inTiers) => {
      const found = inTiers.stored && this.#hitOf(lookup, inTiers)
      return found ?? this.#missed(lookup, inTiers.stored ? inTiers : { ...inTiers, stored: inMemory.stored })
    })
  }

  /** The answer from the cache, where the stored one may be given without a request to a backend. */
  #hitOf(lookup: HttpLookup, urlState: UrlState): Answer | undefined {
    const { directives } = lookup
    if (!urlState.stored || directives.noCache) return undefined
    const now = this.#parts.clock.wall()
    const freshness = freshnessOf(lookup, urlState.stored.entry, now)
    if (freshness !== 'fresh' && freshness !== 'revalidate') return undefined
    const mayRenew = !directives.noStore && !directives.onlyIfCached && lookup.call.method !== 'HEAD'
    if (freshness === 'revalidate' && mayRenew) this.#renew(lookup, urlState)
    return hit(lookup, urlState.stored, now)
  }

  #missed(lookup: HttpLookup, urlState: UrlState): Answer | Awaitable<Answer> {
    const { call, matched, directives } = lookup
    if (directives.onlyIfCached) return this.#parts.forward(call, matched, 'only-if-cached')
    if (directives.noStore) return this.#parts.forward(call, matched, 'no-store')
    // The answer to a HEAD is no answer to a GET.
    if (call.method === 'HEAD') return this.#parts.forward(call, matched, 'HEAD')
    // A caller's own condition goes to the backend where nothing is stored; no other call has just that condition.
    const key = this.#flightOf(lookup, urlState)
    if (directives.noCache || isConditional(call.headers) || this.#parts.hitForMiss.has(key))
      return this.#alone(lookup, urlState)
    const joined = this.#parts.flights.join(key)
    if (!joined) return this.#leading(lookup, urlState, key)
    return after(
      joined.wait(call.signal),
      (landed) =>
        joinedAnswer(lookup, urlState, { landed, now: this.#parts.clock.wall() }) ??
        this.#alone(lookup, this.#parts.store.fromMemory(lookup)),
    )
  }

  /** The same key for all calls that may get the same answer, as far as known; another one whenever an entry was removed. */
  #flightOf(lookup: HttpLookup, { node }: UrlState): Digest {
    const generation = `${lookup.began} ${node?.generation}`
    return answerDigest(lookup, { generation, names: node?.names ?? [] })
  }

  /** The leader's answer comes with its first byte, before the load has landed for the others. */
  #leading(lookup: HttpLookup, urlState: UrlState, key: Digest): Awaitable<Answer> {
    const first = new Deferred<Answer>()
    const run = (load: Load<HttpLoadResult>) => this.#lead(lookup, urlState, { load, first })
    const [flight] = this.#parts.flights.open([key], run, unlanded)
    subscribe((flight as Flight<HttpLoadResult>).wait(lookup.call.signal), {
      onValue(landed) {
        if (landed.kind === 'failed') first.fail(landed.error)
      },
      onError: (error) => first.fail(error),
    })
    return first
  }

  /** Renews an answer that is about to become too old, without anybody waiting for it. */
  #renew(lookup: HttpLookup, urlState: UrlState): void {
    const key = this.#flightOf(lookup, urlState)
    if (this.#parts.flights.has(key)) return
    const run = (load: Load<HttpLoadResult>) => this.#lead(lookup, urlState, { load, first: new Deferred() })
    this.#parts.flights.open([key], run, unlanded)
  }

  #alone(lookup: HttpLookup, urlState: UrlState): Awaitable<Answer> {
    const first = new Deferred<Answer>()
    const leader: Leader = {
      signal: lookup.call.signal,
      first: (answer) => first.settle(answer),
      landed(landed) {
        if (landed.kind === 'failed') first.fail(landed.error)
      },
    }
    this.#parts.fetch(lookup, urlState, leader).catch((error: unknown) => first.fail(error))
    return first
  }
}

function unlanded(error: unknown): HttpLoadResult {
  if (error instanceof GatewayError) return { kind: 'failed', error }
  const fault = new GatewayError('internal', 'the gateway failed on this call', { cause: error })
  return { kind: 'failed', error: fault }
}
