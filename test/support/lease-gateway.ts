/** A gateway as far as leases are concerned, on a clock the test owns: flights, leases and a backend it counts. */
import type { Digest } from '../../src/core/key.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import { Flights, type Load } from '../../src/data/flight/flights.ts'
import { Leases } from '../../src/data/flight/leases.ts'
import type { Signal } from '../../src/lib/cancel.ts'
import type { Clock } from '../../src/lib/clock.ts'
import type { FakeTier } from './fake-tier.ts'

/** What the backend does with a load: answers after `ms`, refuses to have it kept, fails, or hangs until it is cancelled. */
export interface Service {
  readonly kind: 'answers' | 'uncacheable' | 'fails' | 'hangs'
  readonly ms: number
}

export interface LeaseGatewayOptions {
  readonly clock: Clock
  readonly tier: FakeTier
  readonly readTimeout: number
  readonly leaseTtlMs: number
  readonly token: () => string
  readonly service: (digest: Digest) => Service
}

export class LeaseGateway {
  readonly flights: Flights<string>
  readonly loads: Digest[] = []
  readonly #options: LeaseGatewayOptions
  readonly #leases: Leases
  #fill: (digest: Digest, token: string, value: Uint8Array) => Promise<boolean>
  #set: (digest: Digest, value: Uint8Array) => Promise<boolean>

  constructor(options: LeaseGatewayOptions) {
    const { clock, tier, readTimeout, leaseTtlMs, token } = options
    this.#options = options
    this.flights = new Flights({ maxWaiters: 1_000, clock })
    const guard = guardTier(tier, { clock, readTimeout, writeTimeout: readTimeout, random: () => 0.5 })
    const { leases } = guard
    if (!leases) throw new Error('the fake tier has leases')
    this.#leases = new Leases({ leases, clock, token, ttlMs: leaseTtlMs })
    this.#fill = (digest, own, value) => leases.fill(digest, own, value, 60_000)
    this.#set = (digest, value) => guard.set(digest, value, 60_000)
  }

  /** The answer for each row; rejects with the signal's reason. */
  ask(digests: readonly Digest[], signal: Signal, deadline: number): Promise<string[]> {
    const joined = digests.flatMap((digest) => this.flights.join(digest) ?? [])
    const rest = digests.filter((digest) => !joined.some((flight) => flight.digest === digest))
    const opened =
      rest.length > 0 ? this.flights.open(rest, (load) => this.#load(load, deadline), String) : []
    const flights = new Map([...joined, ...opened].map((flight) => [flight.digest, flight]))
    return Promise.all(
      digests.map((digest) => flights.get(digest)?.wait(signal) ?? Promise.reject(new Error('no flight'))),
    )
  }

  #load(load: Load<string>, deadline: number): Promise<void> {
    return this.#leases.load({
      digests: load.digests,
      signal: load.signal,
      deadline,
      found: (digest, value) => {
        load.land(digest, Buffer.from(value).toString())
        return true
      },
      fetch: async (digests, holding) => {
        await Promise.all(
          digests.map(async (digest) => {
            this.loads.push(digest)
            const service = this.#options.service(digest)
            await this.#serve(service, load.signal)
            if (service.kind === 'uncacheable') return load.land(digest, 'kept by nobody')
            const value = Buffer.from(`answer ${digest.charCodeAt(0)}`)
            const { lease, memoryOnly } = holding.storing(digest)
            if (lease) void this.#fill(digest, lease.token, value).then((done) => done || lease.onUnwritten())
            else if (!memoryOnly) void this.#set(digest, value)
            load.land(digest, value.toString())
          }),
        )
      },
    })
  }

  #serve({ kind, ms }: Service, signal: Signal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      if (kind === 'hangs') return
      this.#options.clock.after(ms, () =>
        kind === 'fails' ? reject(new Error('backend failed')) : resolve(),
      )
    })
  }
}
