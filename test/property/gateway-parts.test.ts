/** How gateways divide a pool: the parts by themselves, and production pools of gateways that hear each other late. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { partsOf as rowsOf, useOf } from '../../bench/sim/fair/scenarios.ts'
import { type TenantPlan, World } from '../../bench/sim/fair/world.ts'
import { type PlaceDemand, partsOf, placesAt } from '../../src/data/balance/fair/gateway-parts.ts'

const demands: fc.Arbitrary<PlaceDemand[]> = fc.array(
  fc.record({
    gateway: fc.constantFrom('a', 'b', 'c', 'd'),
    tenant: fc.constantFrom('t', 'u', 'v', 'w'),
    priority: fc.nat(2),
    weight: fc.constantFrom(0.01, 1, 3, 1000),
    most: fc.integer({ min: 1, max: 50 }),
    rate: fc.constantFrom(0, 0.1, 1, 64),
  }),
  { minLength: 1, maxLength: 12 },
)
const places = fc.integer({ min: 1, max: 64 })

describe('the parts of a pool', () => {
  it('are of all places, and at every moment each place is one gateway’s', () => {
    fc.assert(
      fc.property(demands, places, fc.nat(1e9), (wanted, all, now) => {
        const parts = [...partsOf(wanted, all).values()]
        expect(parts[0]?.from).toBe(0)
        expect(parts.at(-1)?.until).toBe(all)
        parts.slice(1).forEach(({ from }, i) => expect(from).toBe(parts[i]?.until))
        const used = parts.map((part) => placesAt(part, now))
        expect(used.reduce((sum, each) => sum + each, 0)).toBe(all)
        for (const [i, { from, until }] of parts.entries()) {
          expect(until).toBeGreaterThan(from)
          expect(Math.abs((used[i] ?? 0) - (until - from))).toBeLessThan(1)
        }
      }),
    )
  })

  it('are the same at all gateways, in whatever order they hear of the others', () => {
    fc.assert(
      fc.property(
        demands.chain((all) =>
          fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
        ),
        places,
        ([one, other], all) => {
          const mine = partsOf(one, all)
          for (const [gateway, { until }] of partsOf(other, all))
            expect(Math.abs(until - (mine.get(gateway)?.until ?? 0))).toBeLessThanOrEqual(1 / 8)
        },
      ),
    )
  })

  it('leave to others what a gateway has no use for', () => {
    const demand = { priority: 1, weight: 1, most: 50, rate: 1 }
    const parts = partsOf(
      [
        { ...demand, gateway: 'a', tenant: 't', most: 1 },
        { ...demand, gateway: 'b', tenant: 'u' },
      ],
      8,
    )
    expect(parts.get('a')).toEqual({ from: 0, until: 1 })
    expect(parts.get('b')).toEqual({ from: 1, until: 8 })
  })
})

interface Case {
  readonly name: string
  readonly gateways?: number
  readonly workers?: number
  readonly backends?: number
  readonly places: number
  readonly delayMs?: number
  readonly callMs?: number
  readonly rowMs?: number
  readonly tenants: readonly TenantPlan[]
  /** The part of each tenant. */
  readonly parts: Readonly<Record<string, number>>
  /** The places that may be in use. */
  readonly usable?: number
}

const a = { name: 'a', callers: 60, workers: [0] }
const b = { name: 'b', callers: 60, workers: [1] }
const half = { a: 0.5, b: 0.5 }
const cases: readonly Case[] = [
  { name: 'equal weights', places: 4, tenants: [a, b], parts: half },
  { name: 'two places', places: 2, tenants: [a, b], parts: half },
  { name: '3 and 1', places: 4, tenants: [{ ...a, weight: 3 }, b], parts: { a: 0.75, b: 0.25 } },
  { name: 'parts of places', places: 4, tenants: [{ ...a, weight: 2 }, b], parts: { a: 2 / 3, b: 1 / 3 } },
  {
    ...{ name: 'batches and single rows', places: 16, callMs: 2, rowMs: 0.3 },
    ...{ tenants: [{ ...a, weight: 3, rows: 64 }, b], parts: { a: 0.75, b: 0.25 } },
  },
  {
    ...{ name: 'three gateways', gateways: 3, places: 8 },
    ...{ tenants: [a, b, { ...a, name: 'c', workers: [2] }], parts: { a: 1 / 3, b: 1 / 3, c: 1 / 3 } },
  },
  { name: 'one at both', places: 4, tenants: [{ ...a, workers: [0, 1] }, b], parts: half },
  {
    ...{
      name: 'far from the store, two workers, two backends',
      delayMs: 40,
      workers: 2,
      places: 2,
      backends: 2,
    },
    ...{
      tenants: [
        { ...a, workers: [0, 1] },
        { ...b, workers: [2, 3] },
      ],
      parts: half,
    },
  },
  { name: 'one that wants less', places: 4, tenants: [{ ...a, callers: 1 }, b], parts: { a: 0.25, b: 0.75 } },
  {
    name: 'a class before another',
    places: 16,
    tenants: [{ ...a, priority: 'critical' }, b],
    parts: { a: 0.99 },
  },
  {
    ...{ name: 'a floor of one that is silent', places: 5, usable: 4, parts: half },
    tenants: [a, b, { name: 'gold', floor: 1 }],
  },
]

describe('gateways that have tenants of their own', () => {
  it.each(cases)('share a pool by weight: $name', async ({ parts, usable, ...plan }) => {
    const { places: each, backends = 1 } = plan
    for (const seed of [1, 2]) {
      const world = await new World({
        gateways: 2,
        callMs: 25,
        scv: 0.2,
        ...plan,
        seed,
        untilMs: 13_500,
      }).play()
      const got = rowsOf(world, 5_000, 13_000)
      for (const [tenant, part] of Object.entries(parts)) {
        expect(got[tenant]).toBeGreaterThan(0.9 * part)
        expect(got[tenant]).toBeLessThan(1.1 * part)
      }
      expect(Object.values(got).every((part) => part > 0)).toBe(true)
      expect(useOf(world, usable ?? each * backends, [5_000, 13_000])).toBeGreaterThan(0.95)
    }
  })

  it('have all of it while the others are silent, and share it again once they are back', async () => {
    for (const seed of [1, 2]) {
      const tenants = [a, { ...b, untilMs: 4_000 }, { ...b, fromMs: 7_000 }]
      const world = await new World({
        gateways: 2,
        places: 4,
        callMs: 25,
        seed,
        tenants,
        untilMs: 16_500,
      }).play()
      expect(useOf(world, 4, [5_000, 7_000])).toBeGreaterThan(0.97)
      const got = rowsOf(world, 12_000, 16_000)
      expect(got['a']).toBeGreaterThan(0.45)
      expect(got['a']).toBeLessThan(0.55)
    }
  })
})
