/**
 * The way of a call on an opaque route that caches: a shared HTTP cache by RFC 9111.
 *
 *   memory → tiers → fresh? → answer, 304 or 206
 *                     └─ not, or not there: joined: wait
 *                                           ours: asked anew, with what is kept as the condition
 */
import { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { Answer } from '../../core/reply.ts'
import { after, type Coming, hear, Later } from '../../lib/later.ts'
import type { Flight, Flights, Load } from '../flight/flights.ts'
import type { Forward } from '../upstream/forward.ts'
import { freshnessOf, hit } from './answers.ts'
import { isConditional } from './conditions.ts'
import { joinedAnswer } from './joined.ts'
import { createLead, type Lead, type LeadParts } from './lead.ts'
import type { Landed, Leader } from './load.ts'
import { answerDigest } from './node.ts'
import type { Place, Wanted } from './shelf.ts'

export interface HttpWayParts extends LeadParts {
  readonly flights: Flights<Landed>
  readonly forward: Forward
}

export class HttpWay {
  readonly #parts: HttpWayParts
  readonly #lead: Lead

  constructor(parts: HttpWayParts) {
    this.#parts = parts
    this.#lead = createLead(parts)
  }

  answer(wanted: Wanted): Answer | Coming<Answer> {
    const near = this.#parts.shelf.near(wanted)
    const known = near.shelved && this.#hitOf(wanted, near)
    if (known) return known
    // What memory has too old, a tier may have as another gateway has renewed it.
    if (!this.#parts.shelf.hasFar || !wanted.shared || wanted.wish.noCache) return this.#missed(wanted, near)
    return after(this.#parts.shelf.far(wanted, near), (far) => {
      const found = far.shelved && this.#hitOf(wanted, far)
      return found ?? this.#missed(wanted, far.shelved ? far : { ...far, shelved: near.shelved })
    })
  }

  /** The kept answer, where it may be given as it is. */
  #hitOf(wanted: Wanted, place: Place): Answer | undefined {
    const { wish } = wanted
    if (!place.shelved || wish.noCache) return undefined
    const now = this.#parts.clock.wall()
    const freshness = freshnessOf(wanted, place.shelved.entry, now)
    if (freshness !== 'fresh' && freshness !== 'revalidate') return undefined
    const mayRenew = !wish.noStore && !wish.onlyIfCached && wanted.call.method !== 'HEAD'
    if (freshness === 'revalidate' && mayRenew) this.#renew(wanted, place)
    return hit(wanted, place.shelved, now)
  }

  #missed(wanted: Wanted, place: Place): Answer | Coming<Answer> {
    const { call, matched, wish } = wanted
    if (wish.onlyIfCached) return this.#parts.forward(call, matched, 'only-if-cached')
    if (wish.noStore) return this.#parts.forward(call, matched, 'no-store')
    // What a HEAD brings is no answer to a GET.
    if (call.method === 'HEAD') return this.#parts.forward(call, matched, 'HEAD')
    // A condition of the caller's own goes along where there is none of ours; nobody else asks just that.
    const key = this.#flightOf(wanted, place)
    if (wish.noCache || isConditional(call.headers) || this.#parts.markers.has(key))
      return this.#alone(wanted, place)
    const joined = this.#parts.flights.join(key)
    if (!joined) return this.#leading(wanted, place, key)
    return after(
      joined.wait(call.signal),
      (landed) =>
        joinedAnswer(wanted, place, { landed, now: this.#parts.clock.wall() }) ??
        this.#alone(wanted, this.#parts.shelf.near(wanted)),
    )
  }

  /** The same for all who may get the same answer, as far as is known; another whenever anything was removed. */
  #flightOf(wanted: Wanted, { node }: Place): Digest {
    const generation = `${wanted.began} ${node?.generation}`
    return answerDigest(wanted, { generation, names: node?.names ?? [] })
  }

  /** The answer of who leads is there with its first byte, before it has landed for the others. */
  #leading(wanted: Wanted, place: Place, key: Digest): Coming<Answer> {
    const first = new Later<Answer>()
    const run = (load: Load<Landed>) => this.#lead(wanted, place, { load, first })
    const [flight] = this.#parts.flights.open([key], run, unlanded)
    hear((flight as Flight<Landed>).wait(wanted.call.signal), {
      took(landed) {
        if (landed.kind === 'failed') first.fail(landed.error)
      },
      failed: (error) => first.fail(error),
    })
    return first
  }

  /** One new answer for what is about to be too old, with nobody waiting for it. */
  #renew(wanted: Wanted, place: Place): void {
    const key = this.#flightOf(wanted, place)
    if (this.#parts.flights.has(key)) return
    const run = (load: Load<Landed>) => this.#lead(wanted, place, { load, first: new Later() })
    this.#parts.flights.open([key], run, unlanded)
  }

  #alone(wanted: Wanted, place: Place): Coming<Answer> {
    const first = new Later<Answer>()
    const leader: Leader = {
      signal: wanted.call.signal,
      first: (answer) => first.settle(answer),
      landed(landed) {
        if (landed.kind === 'failed') first.fail(landed.error)
      },
    }
    this.#parts.fetch(wanted, place, leader).catch((error: unknown) => first.fail(error))
    return first
  }
}

function unlanded(error: unknown): Landed {
  if (error instanceof GatewayError) return { kind: 'failed', error }
  const fault = new GatewayError('internal', 'the gateway failed on this call', { cause: error })
  return { kind: 'failed', error: fault }
}
