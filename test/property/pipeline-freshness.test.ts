/**
 * Freshness on the whole pipeline: whatever time passes, whatever callers wish for and whoever they join, nobody reads
 * an answer that is older than the route, the backend or the caller's own directives allow.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { GatewayError } from '../../src/core/errors.ts'
import {
  bodyOf,
  createWorld,
  json,
  later,
  predictions,
  type TestGateway,
  type Told,
  WAYS,
} from '../support/pipeline.ts'

describe('freshness', () => {
  const age = (told: Told) => told.age ?? 0

  it('I9: no answer is older than its ttl, its stale window, or the caller allows', async () => {
    const directive = fc.oneof(
      fc.constant(''),
      fc.nat(90).map((s) => `max-age=${s}`),
      fc.nat(90).map((s) => `min-fresh=${s}`),
      fc.nat(90).map((s) => `max-stale=${s}`),
      fc.constant('max-stale'),
      fc.constant('only-if-cached'),
      fc.nat(40).map((s) => `stale-if-error=${s}`),
    )
    const step = fc.record({
      ms: fc.constantFrom(0, 500, 7_000, 31_000, 65_000),
      wish: directive,
      broken: fc.boolean(),
      value: fc.nat(1),
      way: fc.constantFrom(...WAYS),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 2, maxLength: 14 }),
        fc.record({ swr: fc.constantFrom(0, 10_000), sie: fc.constantFrom(0, 40_000), must: fc.boolean() }),
        fc.float({ min: 0, max: Math.fround(0.999), noNaN: true }),
        async (steps, { swr, sie, must }, luck) => {
          const cache = { ttl: 60_000, jitter: 0.1, staleWhileRevalidate: swr, staleIfError: sie }
          const world = createWorld({ shared: false, cache, random: () => luck })
          const extra = must ? ['cache-control', 'must-revalidate'] : []
          for (const { ms, wish, broken, value, way } of steps) {
            await world.pass(ms)
            const at = () => world.clock.now()
            world.script = ({ instances }) =>
              broken
                ? new GatewayError('backendRefused', 'down')
                : json(JSON.stringify({ predictions: instances.map(() => at()) }), extra)
            const before = world.asked.length
            const told = await world.run(
              world.gateways[0]?.ask(bodyOf([value]), {
                headers: wish === '' ? [] : ['cache-control', wish],
                way,
              }) as Promise<Told>,
            )
            const asked = world.asked.length > before
            if (told.status !== 200) {
              // Only a missing backend, or a caller who wants no other answer, may leave it without one.
              expect(broken || wish === 'only-if-cached').toBe(true)
              continue
            }
            const real = at() - (told.predictions?.[0] as number)
            expect(age(told) * 1000).toBeLessThanOrEqual(real)
            const seconds = Number(/=(\d+)$/.exec(wish)?.[1] ?? 0) * 1000
            const ttl = 66_000
            const isStale = /fwd=stale/.test(told.cacheStatus ?? '')
            const window = must ? 0 : Math.max(swr, sie)
            expect(real).toBeLessThan(ttl + window + 1)
            if (isStale) expect(broken).toBe(true)
            else if (wish.startsWith('max-age')) expect(real).toBeLessThanOrEqual(seconds)
            else if (wish.startsWith('min-fresh') && !asked) expect(real).toBeLessThanOrEqual(ttl - seconds)
            else if (!wish.startsWith('max-stale')) expect(real).toBeLessThan(ttl + (must ? 0 : swr) + 1)
          }
        },
      ),
      { numRuns: 150 },
    )
  })

  it('I9: nor where calls of different wishes wait for one load, on any gateway', async () => {
    const wish = fc.constantFrom(
      '',
      'max-age=5',
      'max-age=40',
      'min-fresh=30',
      'max-stale',
      'no-cache',
      'no-store',
    )
    const step = fc.record({
      at: fc.nat(1),
      value: fc.nat(1),
      wishes: fc.array(wish, { minLength: 1, maxLength: 4 }),
      pause: fc.constantFrom(0, 5, 20, 200, 20_000, 45_000),
      way: fc.constantFrom(...WAYS),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 3, maxLength: 12, size: 'max' }),
        fc.constantFrom<'always' | 'never'>('always', 'never'),
        fc.constantFrom<'always' | 'never'>('always', 'never'),
        fc.constantFrom(0, 30_000),
        async (steps, rows, leases, staleWhileRevalidate) => {
          const world = createWorld({ gateways: 2, cache: { rows, leases, staleWhileRevalidate } })
          if (world.tier) world.tier.fault = () => ({ delayMs: 15 })
          // An answer is the time at which it was given.
          world.script = async ({ instances }) => {
            await later(world.clock, 30, predictions([]))
            return predictions(instances.map(() => world.clock.now()))
          }
          const checks: Promise<void>[] = []
          for (const { at, value, wishes, pause, way } of steps) {
            for (const wished of wishes) {
              const began = world.clock.now()
              const headers = wished === '' ? [] : ['cache-control', wished]
              const asked = world.gateways[at]?.ask(bodyOf([value]), { headers, way }) as Promise<Told>
              checks.push(asked.then((told) => check(told, { wished, began, staleWhileRevalidate })))
              checks.at(-1)?.catch(() => {})
            }
            await world.pass(pause)
          }
          await world.run(Promise.all(checks))
        },
      ),
      { numRuns: 100 },
    )
  })

  interface Asked {
    readonly wished: string
    readonly began: number
    readonly staleWhileRevalidate: number
  }

  /** The answer is new, or as young as the caller wants it. */
  function check(told: Told, { wished, began, staleWhileRevalidate }: Asked): void {
    expect(told.status).toBe(200)
    const made = told.predictions?.[0] as number
    if (made >= began) return
    expect(wished).not.toBe('no-cache')
    const old = began + told.ms - made
    const bounds: Readonly<Record<string, number>> = {
      'max-age=5': 5_000,
      'max-age=40': 40_000,
      'min-fresh=30': TTL_MS - 30_000,
    }
    expect(old).toBeLessThanOrEqual((bounds[wished] ?? TTL_MS + staleWhileRevalidate) + TICK_MS)
  }

  it('only-if-cached asks no backend, whatever else is asked and whatever the body is', async () => {
    const others = fc.subarray([
      'no-cache',
      'no-store',
      'no-transform',
      'max-stale',
      'max-age=0',
      'min-fresh=9',
    ])
    const body = fc.constantFrom('{"instances":[1,2]}', '{"instances":[1],"instances":[2]}', '{', '')
    await fc.assert(
      fc.asyncProperty(others, body, fc.boolean(), async (more, text, isKnown) => {
        const world = createWorld({ shared: false, cache: { staleWhileRevalidate: 90_000 } })
        const one = world.gateways[0] as TestGateway
        if (isKnown) {
          await world.run(one.ask(text, {}).catch(() => undefined))
          await world.pass(70_000)
        }
        const before = world.asked.length
        const headers = ['cache-control', [...more, 'only-if-cached'].join(', ')]
        const told = await world.run(one.ask(text, { headers }))
        await world.pass(1000)
        expect(world.asked.length).toBe(before)
        if (told.status !== 200) expect([told.status, told.fault]).toEqual([504, 'notCached'])
      }),
      { numRuns: 60 },
    )
  })
})

/** The ttl of the test's route, and what the clock moves by at a time. */
const TTL_MS = 60_000
const TICK_MS = 100
