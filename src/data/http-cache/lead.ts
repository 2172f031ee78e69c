/**
 * A load for all who want the same: of several workers one asks, the others find what it has stored in the memory they share;
 * of several gateways likewise, in the tier that they share.
 */
import type { Digest } from '../../core/key.ts'
import type { Answer } from '../../core/reply.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Coming, Later } from '../../lib/later.ts'
import { remainingMs } from '../cache/entry.ts'
import type { Claims } from '../flight/claims.ts'
import type { Load } from '../flight/flights.ts'
import type { Markers } from '../flight/hit-for-miss.ts'
import type { Leases } from '../flight/leases.ts'
import type { Matched } from '../route/routes.ts'
import { freshnessOf, hit } from './answers.ts'
import type { Fetch, Landed, Leader } from './load.ts'
import { answerDigest, type UrlNode } from './node.ts'
import type { Place, Shelf, Shelved, Wanted } from './shelf.ts'

export interface LeadParts {
  readonly shelf: Shelf
  readonly markers: Markers
  /** Undefined: this process has one worker. */
  readonly claims: Claims | undefined
  /** Undefined: this route's gateways do not wait for each other. */
  readonly leases: (matched: Matched) => Leases | undefined
  readonly fetch: Fetch
  readonly clock: Clock
}

export interface Leading {
  readonly load: Load<Landed>
  /** The answer of who leads; it may be there before the load has landed. */
  readonly first: Later<Answer>
}

export type Lead = (wanted: Wanted, place: Place, leading: Leading) => Coming<void>

export function createLead({ shelf, markers, claims, leases, fetch, clock }: LeadParts): Lead {
  return claimed

  function claimed(wanted: Wanted, place: Place, { load, first }: Leading): Coming<void> {
    const [key] = load.digests as [Digest]
    const land = (landed: Landed) => {
      mark(key, landed)
      load.land(key, landed)
    }
    const leader = { signal: load.signal, first: (answer: Answer) => first.settle(answer), landed: land }
    if (!claims) return leased(wanted, place, leader)
    return claims.load({
      digests: load.digests,
      signal: load.signal,
      deadline: wanted.call.deadline,
      found() {
        const { node, shelved } = shelf.near(wanted)
        return node !== undefined && shelved !== undefined && found(wanted, { node, shelved }, leader)
      },
      async fetch(_, landed) {
        const told = (what: Landed) => {
          land(what)
          landed(key)
        }
        await leased(wanted, place, { ...leader, landed: told })
      },
    })
  }

  /** Who knows nothing of a URL has no name for its answer in common with others. */
  async function leased(wanted: Wanted, place: Place, leader: Leader): Promise<void> {
    const { node, shelved } = place
    const shared = node && wanted.writable && !shelved ? leases(wanted.matched) : undefined
    if (!node || !shared) return fetch(wanted, place, leader)
    await shared.load({
      digests: [answerDigest(wanted, node)],
      signal: leader.signal,
      deadline: wanted.call.deadline,
      found(digest, value) {
        const known = shelf.read(digest, value)
        return known !== undefined && found(wanted, { node, shelved: known }, leader)
      },
      fetch: async (_, { storing }) => fetch(wanted, place, { ...leader, storing }),
    })
  }

  /** Another has brought it meanwhile. */
  function found(wanted: Wanted, { node, shelved }: Found, leader: Leader): boolean {
    const now = clock.wall()
    const { entry } = shelved
    if (freshnessOf(wanted, entry, now) !== 'fresh') return false
    leader.first(hit(wanted, shelved, now))
    leader.landed({ kind: 'kept', entry, node, status: entry.status })
    return true
  }

  /** Whoever comes next for what was for one caller does not wait for others. */
  function mark(key: Digest, landed: Landed): void {
    if (landed.kind === 'kept' && remainingMs(landed.entry, clock.wall()) > 0) markers.lift(key)
    else if (landed.kind === 'kept' || landed.kind === 'none') markers.set(key)
  }
}

interface Found {
  readonly node: UrlNode
  readonly shelved: Shelved
}
