/** Whether a stored answer may be given to this caller, and the answer that is made of it. */
import type { Answer, Outcome, Reply } from '../../core/reply.ts'
import type { Directives } from '../cache/directives.ts'
import { ageMs, type Entry, remainingMs } from '../cache/entry.ts'
import { type Freshness, judge } from '../cache/freshness.ts'
import type { RouteCache } from '../route/routes.ts'
import { answerTo } from './conditions.ts'
import { staleWindows } from './keep.ts'
import {
  NO_RESPONSE_DIRECTIVES,
  type ResponseDirectives,
  readResponseDirectives,
} from './response-directives.ts'
import type { HttpLookup, StoredVariant } from './variant-store.ts'

/** The backend's directives, where the route follows them. */
export function directivesOf(
  headers: Reply['headers'],
  { heedBackend }: RouteCache,
  now: number,
): ResponseDirectives {
  return heedBackend ? readResponseDirectives(headers, now) : NO_RESPONSE_DIRECTIVES
}

/** As `judge`, but by the entry's own fields. `now`: wall milliseconds. */
export function freshnessOf(
  { directives, matched }: HttpLookup,
  { createdAt, ttlMs, headers }: Entry,
  now: number,
): Freshness {
  const cache = matched.route.cache as RouteCache
  // Most entries are fresh, and then their fields need not be parsed.
  const plain = judge({ createdAt, ttlMs, swrMs: 0, sieMs: 0 }, withoutStale(directives), now)
  if (plain === 'fresh') return plain
  const response = directivesOf(headers, cache, now)
  const own = response.noCache || response.mustRevalidate ? withoutStale(directives) : directives
  return judge({ createdAt, ttlMs, ...staleWindows(response, cache) }, own, now)
}

/** The caller's directives without those that accept a stale answer. */
function withoutStale(directives: Directives): Directives {
  if (directives.maxStale === undefined && directives.staleIfError === undefined) return directives
  const { maxStale: _, staleIfError: __, ...rest } = directives
  return rest
}

/** The stored answer with this caller's conditions and range applied. */
export function replyTo({ call }: HttpLookup, { status, headers, body }: Entry, now: number): Reply {
  return answerTo(call, { status, headers, body }, now)
}

export function hit(lookup: HttpLookup, { entry, tier }: StoredVariant, now: number): Answer {
  const { ignored } = lookup.directives
  const detail = ignored === undefined ? {} : { detail: `${tier}; ${ignored} ignored` }
  const times = { ageMs: ageMs(entry, now), ttlMs: remainingMs(entry, now) }
  return { reply: replyTo(lookup, entry, now), outcome: { kind: 'hit', tier, ...times, ...detail } }
}

/** A stale answer in place of a failure of the backends; undefined: it may not be given. */
export function stale(
  lookup: HttpLookup,
  variant: StoredVariant | undefined,
  facts: AnswerFacts,
): Answer | undefined {
  if (!variant || freshnessOf(lookup, variant.entry, facts.now) === 'dead') return undefined
  const { entry, tier } = variant
  const { now, ...status } = facts
  const outcome: Outcome = { kind: 'stale', tier, ageMs: ageMs(entry, now), ...status }
  return { reply: replyTo(lookup, entry, now), outcome }
}

interface AnswerFacts {
  readonly now: number
  /** The status that a backend answered. */
  readonly status?: number
}

/** The outcome of a request to a backend. */
export function fetched(lookup: HttpLookup, facts: Fetched): Outcome {
  const { status, kept, collapsed = false, isRenewed = false, now } = facts
  const left = kept ? { ttlMs: remainingMs(kept, now) } : {}
  const stored = kept !== undefined
  if (lookup.directives.noCache) return { kind: 'request', reason: 'no-cache', stored, status, ...left }
  return { kind: 'miss', stored, collapsed, status, ...left, ...(isRenewed ? { isStale: true } : {}) }
}

interface Fetched {
  readonly status: number
  readonly kept?: Entry | undefined
  readonly collapsed?: boolean
  /** An answer was stored before, and too old. */
  readonly isRenewed?: boolean
  readonly now: number
}
