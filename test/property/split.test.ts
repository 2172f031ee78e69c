/**
 * Whatever becomes of the weights of a split while calls come: an answer is stored and found only under the pool that gave it, all
 * rows of a call are of one pool, and equal inputs go one way, over every gateway and in whatever words.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { GatewayError } from '../../src/core/errors.ts'
import {
  bodyOf,
  createWorld,
  json,
  predictions,
  type Scripted,
  type TestGateway,
  type Told,
  WAYS,
  type Way,
} from '../support/pipeline.ts'

const POOLS = ['v1', 'v2', 'v3'] as const

const weights = fc
  .record({ v1: fc.nat(4), v2: fc.nat(4), v3: fc.nat(4) })
  .filter(({ v1, v2, v3 }) => v1 + v2 + v3 > 0)

interface Asked {
  readonly do: 'ask'
  readonly at: number
  readonly rows: readonly number[]
  readonly spaced: boolean
  readonly by: string
  readonly way: Way
}

const ask: fc.Arbitrary<Asked> = fc.record({
  do: fc.constant('ask' as const),
  at: fc.nat(1),
  rows: fc.array(fc.nat(5), { minLength: 1, maxLength: 3 }),
  spaced: fc.boolean(),
  by: fc.constantFrom('', 'Bearer a', 'Bearer b'),
  way: fc.constantFrom(...WAYS),
})
const steps = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: ask },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('weigh' as const), weights }) },
    { weight: 1, arbitrary: fc.constant({ do: 'deploy' as const }) },
  ),
  { minLength: 10, maxLength: 60 },
)

const spelled = ({ rows, spaced }: Asked) =>
  spaced ? JSON.stringify({ instances: rows }, null, 1) : bodyOf(rows)

/** The pool that an answer is of, if all its rows say the same. */
function poolOf({ predictions: rows = [] }: Told): string | undefined {
  const pools = new Set(rows.map((row) => String(row).split(' ')[0]))
  return pools.size === 1 ? [...pools][0] : undefined
}

describe('a split whose weights change at any time', () => {
  it.each(['input', 'caller'] as const)('sticky: %s', async (sticky) => {
    await fc.assert(
      fc.asyncProperty(weights, steps, async (first, history) => {
        const world = createWorld({
          gateways: 2,
          split: { weights: first, sticky },
          script: ({ pool, caller, instances }) =>
            predictions(instances.map((value) => `${pool} ${caller} ${value}`)),
        })
        // By what must go one way: the pool, until the weights change.
        const went = new Map<string, string>()
        let present: Readonly<Record<string, number>> = first
        let version = 1
        for (const step of history) {
          if (step.do === 'deploy') world.deploy(`v${++version}`)
          if (step.do === 'weigh') {
            present = step.weights
            for (const gateway of world.gateways) gateway.weights?.change(present)
            went.clear()
          }
          if (step.do !== 'ask') continue
          const { at, by, way, rows } = step
          const gateway = world.gateways[at] as TestGateway
          const headers = by === '' ? [] : ['authorization', by]
          const told = await world.run(gateway.ask(spelled(step), { headers, way }))
          const pool = poolOf(told) ?? ''
          expect(told.predictions).toEqual(rows.map((value) => `${pool} ${by} ${value}`))
          expect(present[pool]).toBeGreaterThan(0)
          const bound = sticky === 'input' ? JSON.stringify(rows) : by
          expect(went.get(bound) ?? pool).toBe(pool)
          went.set(bound, pool)
          const { pool: explained } = await gateway.explain(spelled(step), { headers })
          expect(explained).toBe(pool)
        }
        // What a pool was asked, nobody asks it again: the answer lay under that pool meanwhile.
        const asked = world.asked.map(({ pool, caller, instances }) =>
          JSON.stringify([pool, caller, instances]),
        )
        if (version === 1) expect(new Set(asked).size).toBe(asked.length)
      }),
      { numRuns: 60 },
    )
  })

  it('sticky: none: either way, and each pool has its own', async () => {
    let seed = 7
    const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647
    const world = createWorld({
      split: { weights: { v1: 1, v2: 1 }, sticky: 'none' },
      random,
      script: ({ pool, instances }) => predictions(instances.map((value) => `${pool} ${value}`)),
    })
    const gateway = world.gateways[0] as TestGateway
    const told: string[] = []
    for (let i = 0; i < 40; i++) told.push(poolOf(await world.run(gateway.ask(bodyOf([1])))) ?? '')
    expect(new Set(told)).toEqual(new Set(['v1', 'v2']))
    expect(world.asked.map(({ pool }) => pool).sort()).toEqual(['v1', 'v2'])
    expect(POOLS).toContain(told[0])
  })

  it('a pool keeps its answers when its route gets a split, and when it loses it', async () => {
    const world = createWorld({
      gateways: 2,
      split: { weights: { main: 1, other: 0 }, sticky: 'input', from: 1 },
    })
    const [plain, split] = world.gateways as [TestGateway, TestGateway]
    await world.run(plain.ask(bodyOf([1, 2])))
    await world.run(split.ask(bodyOf([3])))
    const before = world.asked.length
    expect((await world.run(split.ask(bodyOf([1, 2])))).predictions).toEqual([1, 2])
    expect((await world.run(plain.ask(bodyOf([3])))).predictions).toEqual([3])
    expect(world.asked.length).toBe(before)
  })
})

type Trouble = 'none' | 'refused' | 'overloaded' | 'noBackend' | '500' | '503' | '429'

/** What a pool answers when it is in trouble. */
function inTrouble(trouble: Trouble): Scripted | undefined {
  if (trouble === 'none') return undefined
  if (trouble === 'refused') return new GatewayError('backendRefused', 'refused', { unsent: true })
  if (trouble === 'overloaded' || trouble === 'noBackend') return new GatewayError(trouble, trouble)
  return json('{"error": "x"}', [], Number(trouble))
}

describe('fallbacks, whatever becomes of pools and weights', () => {
  const trouble = fc.constantFrom<Trouble>(
    'none',
    'none',
    'refused',
    'overloaded',
    'noBackend',
    '500',
    '503',
    '429',
  )
  const happenings = fc.array(
    fc.oneof(
      { weight: 8, arbitrary: ask },
      {
        weight: 3,
        arbitrary: fc.record({ do: fc.constant('break' as const), pool: fc.constantFrom(...POOLS), trouble }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('weigh' as const), weights }) },
    ),
    { minLength: 10, maxLength: 60 },
  )

  it('the first pool that has or can give the answer gives it, and its answers are found under it alone', async () => {
    await fc.assert(
      fc.asyncProperty(weights, happenings, async (first, history) => {
        const troubles = new Map<string, Trouble>()
        const world = createWorld({
          gateways: 2,
          split: { weights: first, sticky: 'input' },
          fallback: ['v3', 'v1'],
          script: ({ pool, caller, instances }) =>
            inTrouble(troubles.get(pool) ?? 'none') ??
            predictions(instances.map((value) => `${pool} ${caller} ${value}`)),
        })
        const kept = new Set<string>()
        for (const step of history) {
          if (step.do === 'break') troubles.set(step.pool, step.trouble)
          if (step.do === 'weigh') for (const gateway of world.gateways) gateway.weights?.change(step.weights)
          if (step.do !== 'ask') continue
          const { at, by, way, rows } = step
          const gateway = world.gateways[at] as TestGateway
          const headers = by === '' ? [] : ['authorization', by]
          const { pool: chosen } = await gateway.explain(spelled(step), { headers })
          const order = [...new Set([chosen, 'v3', 'v1'])]
          const named = (pool: string) => rows.map((value) => `${pool} ${by} ${value}`)
          const isThere = (pool: string) =>
            (troubles.get(pool) ?? 'none') === 'none' || named(pool).every((row) => kept.has(row))
          const wanted = order.find(isThere)
          const told = await world.run(gateway.ask(spelled(step), { headers, way }))
          if (wanted === undefined) {
            expect(told.status).toBeGreaterThanOrEqual(429)
            continue
          }
          expect(told.predictions).toEqual(named(wanted))
          for (const row of named(wanted)) kept.add(row)
        }
      }),
      { numRuns: 60 },
    )
  })
})
