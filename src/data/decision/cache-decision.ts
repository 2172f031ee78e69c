/**
 * The cache decision of a head: the caller's directives, whether the calls are cached, and the seed of their keys. Clients
 * repeat their heads, so the decision is kept in the notes on a head, for as long as settings, purge epochs and deployment
 * tokens stay the same.
 */

import { type Directives, parseDirectives } from '../cache/directives.ts'
import { without } from '../http-cache/fields.ts'
import { anybodys } from '../http-cache/invalidation.ts'
import type { HttpSeeds } from '../http-cache/variant-store.ts'
import type { Keyed, Keyer, Seed } from '../key/keyer.ts'
import { encodingOf, rawPrefix } from '../key/raw.ts'
import type { PoolChoice } from '../route/pool-weights.ts'
import { candidatesOf, isHttpCached, isUnsettled, type Matched } from '../route/routes.ts'
import { bypassReason } from './bypass.ts'

export interface CacheDecision {
  /** The route match under the present settings; a reload makes another. */
  readonly matched: Matched
  readonly revision: number
  readonly directives: Directives
  /** What keys are made of; undefined: calls with this head bypass the cache. */
  readonly key: DecisionKey | undefined
  /** Why they bypass the cache. */
  readonly reason?: string
  /** What the keys of HTTP's own cache are made of, if that cache answers. */
  readonly http?: HttpSeeds
}

export interface DecisionKey {
  readonly seed: Seed
  /** What a raw digest covers before the body. */
  readonly prefix: string
}

/**
 * The route match and revision that an answer was found for. Needed if the head alone does not settle the route (the body names
 * the model) or the pool (the route is split): then this is checked before the answer is given again.
 */
export interface FoundFor extends Pick<CacheDecision, 'matched' | 'revision'> {
  /** Of the pool; left out: the route has one. */
  readonly choice?: PoolChoice | undefined
}

/** Whether the route is still a candidate of the head, the call would go to the same pool, and nothing was purged or deployed since. */
export function stillHolds({ matched, revision, choice }: FoundFor, head: CacheDecision): boolean {
  if (revision !== head.revision) return false
  const candidates = candidatesOf(head.matched)
  if (!choice) return candidates.some(({ route }) => route === matched.route)
  const { weights } = choice
  return candidates.some(({ route }) => route.split?.weights === weights) && weights.holds(choice)
}

/** The notes on a head, as far as they concern its decision. */
export interface DecisionNotes {
  decision?: CacheDecision
}

export interface CacheDecisions {
  /** As `of`, for a head that does not settle the route or the pool. */
  open(call: Keyed, matched: Matched, notes?: DecisionNotes): CacheDecision
  /** The decision in the notes, if there is one that is still valid. */
  known(matched: Matched, notes: DecisionNotes): CacheDecision | undefined
  /**
   * The decision of a head, stored in its notes; a promise if an epoch or token must be loaded first. The decision of an
   * unsettled match only finds what was remembered for head and body; a call is answered by the decision of its settled route.
   */
  of(call: Keyed, matched: Matched, notes?: DecisionNotes): CacheDecision | Promise<CacheDecision>
  /** The decision for a call as if it had these directives. */
  forDirectives(call: Keyed, matched: Matched, directives: Directives): CacheDecision | Promise<CacheDecision>
}

export function createCacheDecisions(keyer: Keyer): CacheDecisions {
  return {
    known,
    open: (call, matched, notes) => (notes && known(matched, notes)) ?? open(call, matched, notes),
    of(call, matched, notes) {
      const before = notes && known(matched, notes)
      if (before) return before
      if (isUnsettled(matched)) return open(call, matched, notes)
      return make(call, matched, { directives: parseDirectives(call.headers), notes })
    },
    forDirectives: (call, matched, directives) => make(call, matched, { directives, notes: undefined }),
  }

  function known(matched: Matched, { decision }: DecisionNotes): CacheDecision | undefined {
    return decision?.matched === matched && decision.revision === keyer.revision ? decision : undefined
  }

  /** Decides by the head alone. If one of its candidate routes may be cached, a repeat may be a hit. */
  function open(call: Keyed, matched: Matched, notes: DecisionNotes | undefined): CacheDecision {
    const { revision } = keyer
    const directives = parseDirectives(call.headers)
    const isKept = candidatesOf(matched).some(
      (candidate) =>
        // Head and body say nothing of the pool.
        candidate.route.split?.weights.sticky !== 'none' &&
        !isHttpCached(call, candidate) &&
        bypassReason({ ...call, body: NOTHING }, candidate, directives) === undefined,
    )
    const digest = keyer.head(call, matched)
    const seed = { digest, shared: true, writable: false }
    const key = isKept ? { seed, prefix: rawPrefix(digest, encodingOf(call)) } : undefined
    const decision = { matched, revision, directives, key }
    if (notes) notes.decision = decision
    return decision
  }

  function make(
    call: Keyed,
    matched: Matched,
    { directives, notes }: { directives: Directives; notes: DecisionNotes | undefined },
  ): CacheDecision | Promise<CacheDecision> {
    const { revision } = keyer
    const { method, target, headers } = call
    const head = { method, target, headers, body: NOTHING, isUpgrade: call.isUpgrade === true }
    const reason = bypassReason(head, matched, directives)
    const kept = (decision: CacheDecision): CacheDecision => {
      if (notes) notes.decision = decision
      return decision
    }
    if (reason !== undefined) return kept({ matched, revision, directives, key: undefined, reason })
    if (isHttpCached(call, matched))
      return withHttp(keyer, call, matched, (http) =>
        kept({ matched, revision, directives, key: undefined, http }),
      )
    const prefixed = (seed: Seed) => {
      const key = { seed, prefix: rawPrefix(seed.digest, encodingOf(call)) }
      return kept({ matched, revision, directives, key })
    }
    const seed = keyer.seed(call, matched)
    return seed instanceof Promise ? seed.then(prefixed) : prefixed(seed)
  }
}

/** HEAD has the key of GET. Origin is not in the key: an answer that depends on it says so in Vary. */
function withHttp<T>(
  keyer: Keyer,
  call: Keyed,
  matched: Matched,
  make: (seeds: HttpSeeds) => T,
): T | Promise<T> {
  const method = call.method === 'HEAD' ? 'GET' : call.method
  const own = keyer.seed({ ...call, method, headers: without(call.headers, ORIGIN) }, matched)
  const url = keyer.seed(anybodys(call, method), matched)
  if (!(own instanceof Promise) && !(url instanceof Promise)) return make({ own, url })
  return Promise.all([own, url]).then(([ownSeed, urlSeed]) => make({ own: ownSeed, url: urlSeed }))
}

const ORIGIN = new Set(['origin'])

const NOTHING = new Uint8Array(0)
