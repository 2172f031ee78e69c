/**
 * The HTTP cache (RFC 9111), for opaque routes. Dialects have keys of their own, and rows; here an answer is stored under its
 * URL, method and request body, and its own fields decide how it may be used.
 */
import { type Call, isWhole } from '../../core/call.ts'
import { Chunks } from '../../core/chunks.ts'
import { type Digest, digestOf, digestSteps, printable } from '../../core/key.ts'
import type { Answer } from '../../core/reply.ts'
import type { Clock } from '../../lib/clock.ts'
import { cooperatively } from '../../lib/cooperative.ts'
import { type Awaitable, after, isAwaitable } from '../../lib/deferred.ts'
import type { Directives } from '../cache/directives.ts'
import { ageMs, remainingMs } from '../cache/entry.ts'
import type { Tiered } from '../cache/tiered.ts'
import type { Claims } from '../flight/claims.ts'
import { Flights } from '../flight/flights.ts'
import { HitForMiss } from '../flight/hit-for-miss.ts'
import type { Leases } from '../flight/leases.ts'
import type { Matched } from '../route/routes.ts'
import type { Forward } from '../upstream/forward.ts'
import { createInvalidation, type Invalidation, type InvalidationParts } from './invalidation.ts'
import { createFetch, type HttpFetchParts, type HttpLoadResult } from './load.ts'
import { HttpCacheLookup } from './lookup.ts'
import { answerDigest } from './node.ts'
import { type HttpSeeds, VariantStore } from './variant-store.ts'

export interface HttpCacheParts extends Omit<HttpFetchParts, 'store'>, Omit<InvalidationParts, 'written'> {
  readonly cache: Tiered
  /** The name of the memory tier in the settings. */
  readonly memory: string
  /** Undefined: this process has one worker. */
  readonly claims: Claims | undefined
  /** Undefined: gateways do not wait for each other on this route. */
  readonly leases: (matched: Matched) => Leases | undefined
  readonly forward: Forward
  readonly clock: Clock
}

interface HttpRequestKeys {
  readonly directives: Directives
  readonly seeds: HttpSeeds
}

export interface HttpCache {
  answer(call: Call, matched: Matched, decision: HttpRequestKeys): Answer | Awaitable<Answer>
  /** To be called when a write has been answered. */
  readonly invalidate: Invalidation
  /** The key of a call, and where its answer is stored. */
  explain(call: Call, matched: Matched, decision: HttpRequestKeys): Promise<ExplainedVariant>
  /** The number of loads under way. */
  readonly flights: number
}

export interface ExplainedVariant {
  readonly key?: string
  readonly kept?: { readonly tier: string; readonly ageMs: number; readonly ttlMs: number }
}

const MAX_WAITERS = 1000

export function createHttpCache(parts: HttpCacheParts): HttpCache {
  const { clock } = parts
  const store = new VariantStore(parts)
  const flights = new Flights<HttpLoadResult>({ maxWaiters: MAX_WAITERS, clock })
  const fetch = createFetch({ ...parts, store })
  const lookups = new HttpCacheLookup({ ...parts, store, flights, hitForMiss: new HitForMiss(clock), fetch })
  return {
    answer(call, matched, decision) {
      const go = (sent: Digest) => lookups.answer(store.lookup(call, matched, { ...decision, sent }))
      const sent = digestOfBody(call)
      return isAwaitable(sent) ? after(sent, go) : go(sent)
    },
    invalidate: createInvalidation({ ...parts, written: (url, life) => store.written(url, life) }),
    async explain(call, matched, decision) {
      const lookup = store.lookup(call, matched, { ...decision, sent: await digestOfBody(call) })
      const inMemory = store.fromMemory(lookup)
      const { node, stored } =
        inMemory.stored || !store.hasTiers ? inMemory : await store.fromTiers(lookup, inMemory)
      if (!node) return {}
      const key = printable(answerDigest(lookup, node))
      if (!stored) return { key }
      const now = clock.wall()
      const { entry, tier } = stored
      const times = { ageMs: Math.round(ageMs(entry, now)), ttlMs: Math.round(remainingMs(entry, now)) }
      return { key, kept: { tier, ...times } }
    },
    get flights() {
      return flights.size
    },
  }
}

const NO_BODY = digestOf('')

/** A long body is hashed in steps, between other work. */
function digestOfBody({ body, signal }: Pick<Call, 'body' | 'signal'>): Digest | Awaitable<Digest> {
  if (!isWhole(body)) throw new Error('a call that streams has no key')
  if (body instanceof Chunks) return cooperatively(digestSteps(body.pieces()), signal)
  return body.length === 0 ? NO_BODY : digestOf(body)
}
