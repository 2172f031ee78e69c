/**
 * Nobody gets another's answer: random histories of callers of several tenants, on the assembled data plane, with joins, leases,
 * stale answers, aliases, a shared tier and two gateways, by the door and straight into the pipeline.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { principalFor } from '../../src/core/identity.ts'
import { digestOf } from '../../src/core/key.ts'
import { bodyOf, createWorld, later, predictions, type Told, WAYS } from '../support/pipeline.ts'

/** Tenants and subjects whose names run into each other where they are put together without lengths. */
const CALLERS = [
  { tenant: 'a', subject: 'b' },
  { tenant: 'a', subject: 'bc' },
  { tenant: 'ab', subject: 'c' },
  { tenant: 'a', subject: 'b1:c' },
  { tenant: 'shared', subject: 'shared' },
] as const

/** Two keys each: a caller whose key was replaced is the same caller. */
const KEYS = CALLERS.flatMap(({ tenant, subject }, i) =>
  ['old', 'new'].map((age) => ({ key: `key-${i}-${age}`, tenant, subject })),
)
const keys = KEYS.map(({ key, tenant, subject }) => ({
  hash: `sha256:${Buffer.from(digestOf(key), 'latin1').toString('hex')}`,
  tenant,
  subject,
}))

const call = fc.record({
  do: fc.constant('calls' as const),
  /** Asked at the same time, so that they join or wait for each other. */
  all: fc.array(
    fc.record({
      at: fc.nat(1),
      by: fc.nat(KEYS.length - 1),
      field: fc.constantFrom('authorization', 'Authorization', 'x-api-key', 'API-Key'),
      rows: fc.array(fc.nat(3), { minLength: 1, maxLength: 3 }),
      way: fc.constantFrom(...WAYS),
    }),
    { minLength: 1, maxLength: 4 },
  ),
})
const step = fc.oneof(
  { weight: 4, arbitrary: call },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(10, 30_000, 70_000) }),
  },
)

const worlds = fc.record({
  shared: fc.boolean(),
  memory: fc.boolean(),
  cache: fc.record({
    rows: fc.constantFrom('always' as const, 'never' as const),
    leases: fc.constantFrom('always' as const, 'never' as const),
    staleWhileRevalidate: fc.constantFrom(0, 20_000),
    staleIfError: fc.constantFrom(0, 20_000),
  }),
})

describe.each(['caller', 'tenant'] as const)('I5: with scope %s', (scope) => {
  it('no answer was made for anybody else', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 2, maxLength: 12, size: 'max' }),
        worlds,
        async (steps, options) => {
          const world = createWorld({ gateways: 2, ...options, keys, cache: { ...options.cache, scope } })
          world.script = ({ caller, instances }) =>
            later(world.clock, 20, predictions(instances.map((row) => [caller, row])))
          for (const one of steps) {
            if (one.do === 'pass') {
              await world.pass(one.ms)
              continue
            }
            const asked = one.all.map(({ at, by, field, rows, way }) => {
              const { key } = KEYS[by] as (typeof KEYS)[number]
              const value = field.toLowerCase() === 'authorization' ? `Bearer ${key}` : key
              return world.gateways[at]?.ask(bodyOf(rows), { headers: [field, value], way }) as Promise<Told>
            })
            const told = await world.run(Promise.all(asked))
            for (const [i, { status, predictions: got }] of told.entries()) {
              const { by, rows } = one.all[i] as (typeof one.all)[number]
              expect(status).toBe(200)
              expect(got?.map((answer) => (answer as [string, number])[1])).toEqual(rows)
              for (const answer of got ?? [])
                expect(mayHave(scope, by)).toContain((answer as [string, number])[0])
            }
          }
        },
      ),
      { numRuns: 120 },
    )
  })

  it('a replaced key keeps what was cached', async () => {
    const world = createWorld({ gateways: 1, shared: false, keys, cache: { scope } })
    const ask = (key: string) =>
      world.run(
        world.gateways[0]?.ask(bodyOf([1]), { headers: ['authorization', `Bearer ${key}`] }) as Promise<Told>,
      )
    expect((await ask('key-0-old')).cacheStatus).toMatch(/stored/)
    expect((await ask('key-0-new')).cacheStatus).toMatch(/; hit/)
    const other = (await ask('key-1-old')).cacheStatus
    expect(other).toMatch(scope === 'tenant' ? /; hit/ : /stored/)
    expect((await ask('key-2-old')).cacheStatus).toMatch(/stored/)
  })
})

/** The principals whose answers a caller may have. */
function mayHave(scope: 'caller' | 'tenant', by: number): string[] {
  const { tenant, subject } = KEYS[by] as (typeof KEYS)[number]
  return CALLERS.filter(
    (one) => one.tenant === tenant && (scope === 'tenant' || one.subject === subject),
  ).map((one) => principalFor(one.tenant, one.subject))
}

it('no two pairs of tenant and subject are one principal', () => {
  fc.assert(
    fc.property(fc.tuple(fc.string(), fc.string()), fc.tuple(fc.string(), fc.string()), (a, b) => {
      if (a[0] !== b[0] || a[1] !== b[1]) expect(principalFor(...a)).not.toBe(principalFor(...b))
    }),
  )
})
