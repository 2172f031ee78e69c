/**
 * What a head alone decides about its calls: what the caller wishes, whether the cache has a part in it, the seed of
 * the key. Clients repeat their heads, so it is kept with the notes on one, for as long as settings, purge epochs and
 * deployment tokens stand.
 */

import { type Directives, parseDirectives } from '../cache/directives.ts'
import { without } from '../http-cache/fields.ts'
import { anybodys } from '../http-cache/invalidation.ts'
import type { HttpSeeds } from '../http-cache/variant-store.ts'
import type { Keyed, Keyer, Seed } from '../key/keyer.ts'
import { encodingOf, rawPrefix } from '../key/raw.ts'
import { isHttpCached, isOpen, type Matched, type OpenMatched } from '../route/routes.ts'
import { bypassReason } from './bypass.ts'

export interface CacheDecision {
  /** Found under the present settings: others find another one. */
  readonly matched: Matched
  readonly revision: number
  readonly directives: Directives
  /** What keys are made of; undefined: calls with this head go past the cache. */
  readonly key: DecisionKey | undefined
  /** Why they do. */
  readonly reason?: string
  /** What the keys of HTTP's own cache are made of, where it is that one which answers. */
  readonly http?: HttpSeeds
}

export interface DecisionKey {
  readonly seed: Seed
  /** What a raw digest covers before the body. */
  readonly prefix: string
}

/**
 * What an answer was found for, where the head alone does not say it since the body names the model: it is checked before
 * the answer is given again.
 */
export type FoundFor = Pick<CacheDecision, 'matched' | 'revision'>

/** Whether the route is one of the head's under its settings, and nothing was purged or deployed in between. */
export function stillHolds({ matched, revision }: FoundFor, head: CacheDecision): boolean {
  return (
    revision === head.revision &&
    head.matched.candidates?.some(({ route }) => route === matched.route) === true
  )
}

/** On a head. */
export interface DecisionNotes {
  decision?: CacheDecision
}

export interface CacheDecisions {
  /** As `of`, for a head that leaves the model to the body. */
  open(call: Keyed, matched: OpenMatched, notes?: DecisionNotes): CacheDecision
  /** What stands for the head that the notes are on, where that has been worked out. */
  known(matched: Matched, notes: DecisionNotes): CacheDecision | undefined
  /**
   * What stands for the head that the notes are on; a promise where an epoch or token must be asked for first. Of an open
   * route only what is found under a head and a body hangs on it, never an answer.
   */
  of(call: Keyed, matched: Matched, notes?: DecisionNotes): CacheDecision | Promise<CacheDecision>
  /** The same for a call that is taken to wish something else. */
  withDirectives(
    call: Keyed,
    matched: Matched,
    directives: Directives,
  ): CacheDecision | Promise<CacheDecision>
}

export function createCacheDecisions(keyer: Keyer): CacheDecisions {
  return {
    known,
    open: (call, matched, notes) => (notes && known(matched, notes)) ?? open(call, matched, notes),
    of(call, matched, notes) {
      const before = notes && known(matched, notes)
      if (before) return before
      if (isOpen(matched)) return open(call, matched, notes)
      return make(call, matched, { directives: parseDirectives(call.headers), notes })
    },
    withDirectives: (call, matched, directives) => make(call, matched, { directives, notes: undefined }),
  }

  function known(matched: Matched, { decision }: DecisionNotes): CacheDecision | undefined {
    return decision?.matched === matched && decision.revision === keyer.revision ? decision : undefined
  }

  /** By the head alone: where one of its routes may give a kept answer, a repeat of a call may be answered from memory. */
  function open(call: Keyed, matched: OpenMatched, notes: DecisionNotes | undefined): CacheDecision {
    const { revision } = keyer
    const directives = parseDirectives(call.headers)
    const isKept = matched.candidates.some(
      (candidate) =>
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
    const head = { method, target, headers, body: NOTHING }
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

/** HEAD asks for what GET would bring. Which Origin an answer is for, it says itself. */
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
