/**
 * Flights over several gateways that share a tier with leases: however their operations interleave, a herd costs
 * one load (I16); and however the tier, the backend and the holders fail, every waiter settles in his time (I17).
 */
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Digest, digestOf } from '../../src/core/key.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { FakeTier, type TierFault } from '../support/fake-tier.ts'
import { LeaseGateway, type Service } from '../support/lease-gateway.ts'

const READ_TIMEOUT = 20
const LEASE_TTL_MS = 300
const GATEWAYS = 3
const ROWS = Array.from({ length: 4 }, (_, n) => digestOf(`row ${n}`))
const answerOf = (row: Digest) => `answer ${row.charCodeAt(0)}`

interface Arrival {
  readonly at: number
  readonly gateway: number
  readonly rows: readonly number[]
  readonly patienceMs: number
}

const arrival = (maxAt: number): fc.Arbitrary<Arrival> =>
  fc.record({
    at: fc.nat(maxAt),
    gateway: fc.nat(GATEWAYS - 1),
    rows: fc.uniqueArray(fc.nat(ROWS.length - 1), { minLength: 1, maxLength: ROWS.length }),
    patienceMs: fc.integer({ min: 1, max: 2_000 }),
  })

/** A tier each of whose operations waits for the scheduler's turn, before it acts and before it answers. */
class ScheduledTier extends FakeTier {
  readonly #scheduler: fc.Scheduler

  constructor(scheduler: fc.Scheduler, clock: FakeClock) {
    super({ clock })
    this.#scheduler = scheduler
    const { acquire, renew, fill, release } = this.leases
    Object.assign(this.leases, {
      acquire: this.#slowly(acquire),
      renew: this.#slowly(renew),
      fill: this.#slowly(fill),
      release: this.#slowly(release),
    })
  }

  #slowly<A extends unknown[], T>(operation: (...args: A) => Promise<T>): (...args: A) => Promise<T> {
    return async (...args) => {
      await this.#scheduler.schedule(Promise.resolve(), 'request')
      const answer = await operation(...args)
      await this.#scheduler.schedule(Promise.resolve(), 'answer')
      return answer
    }
  }
}

function gateways(clock: FakeClock, tier: FakeTier, service: (digest: Digest) => Service): LeaseGateway[] {
  let tokens = 0
  const token = () => `token ${tokens++}`
  return Array.from(
    { length: GATEWAYS },
    () =>
      new LeaseGateway({ clock, tier, service, token, readTimeout: READ_TIMEOUT, leaseTtlMs: LEASE_TTL_MS }),
  )
}

interface Asked {
  readonly arrival: Arrival
  readonly outcome: Promise<PromiseSettledResult<string[]>>
  settledAt: number | undefined
}

/** A caller whose own deadline is a timer of the clock. */
function ask(gateway: LeaseGateway, arrival: Arrival, clock: FakeClock): Asked {
  const cancel = new AbortController()
  const deadline = clock.now() + arrival.patienceMs
  clock.after(arrival.patienceMs, () => cancel.abort(new Error('out of time')))
  const rows = arrival.rows.map((row) => ROWS[row] as Digest)
  const asked = { arrival, settledAt: undefined as number | undefined }
  const outcome = Promise.allSettled([gateway.ask(rows, cancel.signal, deadline)]).then(([result]) => {
    asked.settledAt ??= clock.now()
    return result
  })
  return Object.assign(asked, { outcome })
}

describe('leases', () => {
  it('I16: over three gateways each row is loaded once, in whatever order the tier hears and answers', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(arrival(400), { minLength: 2, maxLength: 12 }),
        fc.integer({ min: 1, max: 1_000 }),
        async (scheduler, arrivals, ms) => {
          const clock = new FakeClock()
          const tier = new ScheduledTier(scheduler, clock)
          const all = gateways(clock, tier, () => ({ kind: 'answers', ms }))
          const asked: Asked[] = []
          for (let now = 0; now < 4_000; now++) {
            for (const each of arrivals)
              if (each.at === now)
                asked.push(ask(all[each.gateway] as LeaseGateway, { ...each, patienceMs: 60_000 }, clock))
            await turn()
            while (scheduler.count() > 0) {
              await scheduler.waitOne()
              await turn()
            }
            if (asked.length === arrivals.length && asked.every(({ settledAt }) => settledAt)) break
            clock.advance(1)
          }
          for (const { arrival, outcome } of asked)
            expect(await outcome).toMatchObject({
              value: arrival.rows.map((row) => answerOf(ROWS[row] as Digest)),
            })
          const loads = all.flatMap(({ loads }) => loads)
          expect(loads.toSorted()).toEqual([...new Set(loads)].toSorted())
          expect(all.map(({ flights }) => flights.size)).toEqual([0, 0, 0])
          while (scheduler.count() > 0) await scheduler.waitOne()
          expect(tier.held.size).toBe(0)
        },
      ),
      { numRuns: 60 },
    )
  })

  const fault: fc.Arbitrary<TierFault> = fc.oneof(
    { weight: 5, arbitrary: fc.constant('none' as const) },
    { weight: 2, arbitrary: fc.constantFrom('error' as const, 'throw' as const, 'hang' as const) },
    { weight: 2, arbitrary: fc.nat(40).map((delayMs) => ({ delayMs })) },
  )
  const service: fc.Arbitrary<Service> = fc.record({
    kind: fc.constantFrom('answers' as const, 'uncacheable' as const, 'fails' as const, 'hangs' as const),
    ms: fc.nat(700),
  })

  it('I17: every waiter settles in his time, and nothing is left behind, whatever fails', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(arrival(800), { minLength: 2, maxLength: 12 }),
        fc.array(fault, { minLength: 1, maxLength: 12 }),
        fc.array(service, { minLength: 1, maxLength: 6 }),
        fc.array(fc.record({ row: fc.nat(ROWS.length - 1), at: fc.nat(800) }), { maxLength: 3 }),
        async (arrivals, faults, services, dead) => {
          const clock = new FakeClock()
          const began = clock.now()
          const tier = new FakeTier({ clock })
          let [operations, served] = [0, 0]
          tier.fault = () => faults[operations++ % faults.length] ?? 'none'
          const all = gateways(clock, tier, () => services[served++ % services.length] as Service)
          const asked: Asked[] = []
          for (let now = 0; now < 4_000; now++) {
            // A gateway takes the lease and is killed: nobody renews it.
            for (const { row, at } of dead)
              if (at === now)
                tier.held.set(ROWS[row] as Digest, { token: `dead ${at}`, until: clock.now() + LEASE_TTL_MS })
            for (const each of arrivals)
              if (each.at === now) asked.push(ask(all[each.gateway] as LeaseGateway, each, clock))
            await turn()
            clock.advance(1)
          }
          for (const { arrival, outcome, settledAt } of asked) {
            expect(settledAt).toBeLessThanOrEqual(began + arrival.at + arrival.patienceMs)
            const result = await outcome
            if (result.status === 'rejected') expect(result.reason).toEqual(new Error('out of time'))
            else
              for (const [i, answer] of result.value.entries())
                if (answer.startsWith('answer'))
                  expect(answer).toBe(answerOf(ROWS[arrival.rows[i] as number] as Digest))
          }
          expect(asked).toHaveLength(arrivals.length)
          expect(all.map(({ flights }) => flights.size)).toEqual([0, 0, 0])
          expect([...tier.held.values()].filter(({ until }) => until > clock.now())).toEqual([])
        },
      ),
      { numRuns: 60 },
    )
  })
})
