/**
 * Leads a load for all calls that want the same answer: of several workers one asks the backend, and the others find the
 * answer in the memory they share; of several gateways likewise, in the tier that they share.
 */
import type { Digest } from '../../core/key.ts'
import type { Answer } from '../../core/reply.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Awaitable, Deferred } from '../../lib/deferred.ts'
import { remainingMs } from '../cache/entry.ts'
import type { Claims } from '../flight/claims.ts'
import type { Load } from '../flight/flights.ts'
import type { HitForMiss } from '../flight/hit-for-miss.ts'
import type { Leases } from '../flight/leases.ts'
import type { Matched } from '../route/routes.ts'
import { freshnessOf, hit } from './answers.ts'
import type { HttpFetch, HttpLoadResult, Leader } from './load.ts'
import { answerDigest, type UrlNode } from './node.ts'
import type { HttpLookup, StoredVariant, UrlState, VariantStore } from './variant-store.ts'

export interface LeadParts {
  readonly store: VariantStore
  readonly hitForMiss: HitForMiss
  /** Undefined: this process has one worker. */
  readonly claims: Claims | undefined
  /** Undefined: gateways do not wait for each other on this route. */
  readonly leases: (matched: Matched) => Leases | undefined
  readonly fetch: HttpFetch
  readonly clock: Clock
}

export interface Leading {
  readonly load: Load<HttpLoadResult>
  /** The leader's answer, which may come before the load has landed. */
  readonly first: Deferred<Answer>
}

export type Lead = (lookup: HttpLookup, urlState: UrlState, leading: Leading) => Awaitable<void>

export function createLead({ store, hitForMiss, claims, leases, fetch, clock }: LeadParts): Lead {
  return claimed

  function claimed(lookup: HttpLookup, urlState: UrlState, { load, first }: Leading): Awaitable<void> {
    const [key] = load.digests as [Digest]
    const land = (landed: HttpLoadResult) => {
      mark(key, landed)
      load.land(key, landed)
    }
    const leader = { signal: load.signal, first: (answer: Answer) => first.settle(answer), landed: land }
    if (!claims) return leased(lookup, urlState, leader)
    return claims.load({
      digests: load.digests,
      signal: load.signal,
      deadline: lookup.call.deadline,
      found() {
        const { node, stored } = store.fromMemory(lookup)
        return node !== undefined && stored !== undefined && found(lookup, { node, stored }, leader)
      },
      async fetch(_, landed) {
        const landedForAll = (what: HttpLoadResult) => {
          land(what)
          landed(key)
        }
        await leased(lookup, urlState, { ...leader, landed: landedForAll })
      },
    })
  }

  /** Without a node there is no lease: gateways that know nothing of a URL have no common key for its answer. */
  async function leased(lookup: HttpLookup, urlState: UrlState, leader: Leader): Promise<void> {
    const { node, stored } = urlState
    const shared = node && lookup.writable && !stored ? leases(lookup.matched) : undefined
    if (!node || !shared) return fetch(lookup, urlState, leader)
    await shared.load({
      digests: [answerDigest(lookup, node)],
      signal: leader.signal,
      deadline: lookup.call.deadline,
      found(digest, value) {
        const known = store.read(digest, value)
        return known !== undefined && found(lookup, { node, stored: known }, leader)
      },
      fetch: async (_, { storing }) => fetch(lookup, urlState, { ...leader, storing }),
    })
  }

  /** Another worker or gateway has stored it meanwhile. */
  function found(lookup: HttpLookup, { node, stored }: FoundVariant, leader: Leader): boolean {
    const now = clock.wall()
    const { entry } = stored
    if (freshnessOf(lookup, entry, now) !== 'fresh') return false
    leader.first(hit(lookup, stored, now))
    leader.landed({ kind: 'kept', entry, node, status: entry.status })
    return true
  }

  /** Marks a key whose answer was for one caller: the next calls for it do not wait for each other. */
  function mark(key: Digest, landed: HttpLoadResult): void {
    if (landed.kind === 'kept' && remainingMs(landed.entry, clock.wall()) > 0) hitForMiss.lift(key)
    else if (landed.kind === 'kept' || landed.kind === 'none') hitForMiss.set(key)
  }
}

interface FoundVariant {
  readonly node: UrlNode
  readonly stored: StoredVariant
}
