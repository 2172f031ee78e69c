/**
 * The promises of the cache, tried on the whole pipeline: several gateways over one shared tier, random histories
 * of calls, deployments, faults and time, before a backend that is a pure function of version, caller and row.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RawPairs } from '../../src/core/call.ts'
import { GatewayError } from '../../src/core/errors.ts'
import type { TierFault } from '../support/fake-tier.ts'
import {
  bodyOf,
  createWorld,
  json,
  later,
  predictions,
  type Script,
  type Told,
  WAYS,
  type Way,
  type World,
  type WorldOptions,
} from '../support/pipeline.ts'

type Row = number | string | readonly number[]

/** Few values, so that histories repeat themselves; delimiters, and spellings that are near each other. */
const row: fc.Arbitrary<Row> = fc.constantFrom<Row>(0, 1, 2, 3, '1', 'a","b', '"', [1, 2], [12], [1], [])
const rows = fc.array(row, { minLength: 1, maxLength: 6 })
/** Rows that one request may be cut into: all of one kind. */
const alike = fc.oneof(
  fc.array(fc.nat(5), { minLength: 1, maxLength: 6 }),
  fc.array(fc.constantFrom('', '1', 'a","b', '"'), { minLength: 1, maxLength: 6 }),
  fc.array(fc.constantFrom([1, 2], [12, 0], [1, 0]), { minLength: 1, maxLength: 6 }),
)
const caller = fc.constantFrom('', 'Bearer a', 'Bearer b')
const gateway = fc.nat(1)

type TierState = 'none' | 'error' | 'throw' | 'hang' | 'garbage' | 'slow' | 'flapping'
const tierState = fc.constantFrom<TierState>('none', 'error', 'throw', 'hang', 'garbage', 'slow', 'flapping')

type Step =
  | {
      readonly do: 'call'
      readonly at: number
      readonly rows: readonly Row[]
      readonly by: string
      readonly spaced: boolean
      readonly way: Way
    }
  | { readonly do: 'pass'; readonly ms: number }
  | { readonly do: 'deploy' }
  | { readonly do: 'tier'; readonly state: TierState }
  | { readonly do: 'poll' }

const oneCall = fc.record({
  do: fc.constant('call' as const),
  at: gateway,
  rows: fc.oneof({ weight: 3, arbitrary: alike }, { weight: 1, arbitrary: rows }) as fc.Arbitrary<
    readonly Row[]
  >,
  by: caller,
  spaced: fc.boolean(),
  way: fc.constantFrom(...WAYS),
})
const history = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: oneCall },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('pass' as const),
        ms: fc.constantFrom(10, 1000, 30_000, 70_000),
      }),
    },
    { weight: 1, arbitrary: fc.constant<Step>({ do: 'deploy' }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('tier' as const), state: tierState }) },
    { weight: 1, arbitrary: fc.constant<Step>({ do: 'poll' }) },
  ),
  { minLength: 1, maxLength: 30, size: 'max' },
)

const headersOf = (by: string): RawPairs => (by === '' ? [] : ['authorization', by])
const spell = (list: readonly Row[], spaced: boolean) =>
  spaced ? JSON.stringify({ instances: list }, null, 1) : bodyOf(list)

/** The model: everything that an answer may depend on is in it. */
const f = (version: number, by: string, value: unknown) => JSON.stringify([version, by, value])

interface Played {
  readonly told: Told
  readonly wanted: readonly string[]
}

/** Plays a history, calls one after the other; gives each answer with what the backend itself would have said. */
async function play(
  steps: readonly Step[],
  options: WorldOptions,
): Promise<{ world: World; played: Played[] }> {
  let version = 1
  const world = createWorld({
    gateways: 2,
    ...options,
    script: ({ caller: by, instances }) => predictions(instances.map((value) => f(version, by, value))),
  })
  const played: Played[] = []
  for (const step of steps) {
    if (step.do === 'pass') await world.pass(step.ms)
    if (step.do === 'tier' && world.tier) world.tier.fault = faultOf(step.state)
    if (step.do === 'poll') await world.run(Promise.all(world.gateways.map((one) => one.poll())))
    if (step.do === 'deploy') {
      version++
      // Back and forth between two files: a rollback is a new deployment.
      world.deploy(`v${version % 2}`)
    }
    if (step.do !== 'call') continue
    const { at, by, way } = step
    const asked = world.gateways[at]?.ask(spell(step.rows, step.spaced), { headers: headersOf(by), way })
    const told = await world.run(asked as Promise<Told>)
    played.push({ told, wanted: step.rows.map((value) => f(version, by, value)) })
  }
  return { world, played }
}

function faultOf(state: TierState): () => TierFault {
  let turn = 0
  if (state === 'slow') return () => ({ delayMs: 40 })
  if (state === 'flapping') return () => (turn++ % 3 === 0 ? 'hang' : turn % 3 === 1 ? 'error' : 'none')
  return () => state
}

const worlds: fc.Arbitrary<WorldOptions> = fc.record({
  shared: fc.boolean(),
  memory: fc.boolean(),
  cache: fc.record({
    rows: fc.constantFrom('always' as const, 'never' as const, 'auto' as const),
    leases: fc.constantFrom('always' as const, 'never' as const),
    staleWhileRevalidate: fc.constantFrom(0, 20_000),
    jitter: fc.constantFrom(0, 0.1),
  }),
})

describe('any history of calls, deployments, faults and time', () => {
  it('I1, I5, I7: every answer is the one the deployed version gives this caller now', async () => {
    await fc.assert(
      fc.asyncProperty(history, worlds, async (steps, options) => {
        const { played } = await play(steps, options)
        for (const { told, wanted } of played) {
          expect(told.status).toBe(200)
          expect(told.text).toBe(JSON.stringify({ predictions: wanted }))
        }
      }),
      { numRuns: 150 },
    )
  })

  it('C1, I18: no fault of the shared tier changes an answer or costs more than its read timeout and 10 ms', async () => {
    const faulty = fc.array(
      fc.oneof(
        { weight: 4, arbitrary: oneCall },
        { weight: 2, arbitrary: fc.record({ do: fc.constant('tier' as const), state: tierState }) },
      ),
      { minLength: 4, maxLength: 24, size: 'max' },
    )
    await fc.assert(
      fc.asyncProperty(faulty, worlds, async (steps, options) => {
        const { played } = await play(steps, {
          ...options,
          shared: true,
          cache: { ...options.cache, leases: 'never' },
        })
        for (const [i, { told, wanted }] of played.entries()) {
          expect(told.status).toBe(200)
          expect(told.predictions).toEqual(wanted)
          // The backend takes no time here. The first calls also ask for epochs and tokens, once, and the clock steps.
          if (i > 3) expect(told.ms).toBeLessThanOrEqual(25 + 10 + 10)
        }
      }),
      { numRuns: 100 },
    )
  })

  it('I22: Cache-Status is well formed, a hit is not forwarded, and what was stored can be hit', async () => {
    await fc.assert(
      fc.asyncProperty(history, worlds, async (steps, options) => {
        const { played } = await play(steps, options)
        for (const { told } of played) {
          const status = told.cacheStatus ?? ''
          expect(status).toMatch(STATUS)
          expect(/; hit/.test(status)).toBe(!/; fwd=/.test(status))
          if (/; collapsed/.test(status)) expect(status).not.toMatch(/; stored/)
          if (/; hit/.test(status)) expect(told.age).toBeGreaterThanOrEqual(0)
        }
      }),
      { numRuns: 60 },
    )
    await fc.assert(
      fc.asyncProperty(rows, caller, async (list, by) => {
        const world = createWorld({ shared: false })
        const ask = () =>
          world.run(world.gateways[0]?.ask(bodyOf(list), { headers: headersOf(by) }) as Promise<Told>)
        expect((await ask()).cacheStatus).toMatch(/; stored/)
        expect((await ask()).cacheStatus).toMatch(/^infergate; hit; /)
      }),
      { numRuns: 30 },
    )
  })
})

/** A list of one item, a token with parameters (RFC 9211, section 2; RFC 9651). */
const STATUS =
  /^infergate(?:; hit|; fwd=[a-z-]+|; fwd-status=\d{3}|; ttl=-?\d+|; stored|; collapsed|; detail=(?:[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*|"[ -!#-[\]-~]*"))+$/

describe('I7: a rolling deployment', () => {
  it('leaves nothing of one version under the key of another, whoever answered, and when', async () => {
    const step = fc.record({
      value: fc.nat(3),
      /** The backend has the new version before the gateway knows, and while it thinks so some still have the old. */
      answers: fc.constantFrom('v1', 'v2'),
      learnt: fc.option(fc.constantFrom('v1', 'v2'), { nil: undefined, freq: 4 }),
      pause: fc.constantFrom(0, 10, 100),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 20, size: 'max' }), async (steps) => {
        const world = createWorld({ gateways: 1 })
        const [one] = world.gateways
        let known = 'v1'
        const checks: Promise<void>[] = []
        for (const { value, answers, learnt, pause } of steps) {
          if (learnt !== undefined && learnt !== known) {
            known = learnt
            world.deploy(known)
          }
          world.script = ({ instances }) =>
            later(world.clock, 20, { reply: predictions(instances.map(() => answers)), version: answers })
          const now = known
          checks.push(
            (one as NonNullable<typeof one>)
              .ask(bodyOf([value]))
              .then(({ cacheStatus, predictions: got }) => {
                // Answered by the cache: then by the version that is deployed.
                if (/; hit/.test(cacheStatus ?? '')) expect(got).toEqual([now])
              }),
          )
          await world.pass(pause)
        }
        await world.run(Promise.all(checks))
      }),
      { numRuns: 150 },
    )
  })
})

describe('rows', () => {
  it('I13: the backend is asked exactly for the rows that nobody has and nobody is asking for, each once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(alike, { minLength: 1, maxLength: 6 }),
        fc.array(alike, { maxLength: 3 }),
        async (batches, known) => {
          const world = createWorld({ shared: false })
          const [one] = world.gateways
          for (const list of known) await world.run(one?.ask(bodyOf(list)) as Promise<Told>)
          const have = new Set(known.flat().map((value) => JSON.stringify(value)))
          const before = world.asked.length
          world.script = ({ instances }) => later(world.clock, 50, predictions(instances))
          const answers = batches.map((list) => one?.ask(bodyOf(list)) as Promise<Told>)
          const told = await world.run(Promise.all(answers))
          told.forEach(({ predictions: got }, i) => expect(got).toEqual(batches[i]))
          const sent = world.asked
            .slice(before)
            .flatMap(({ instances }) => instances.map((value) => JSON.stringify(value)))
          const unknown = new Set(
            batches
              .flat()
              .map((value) => JSON.stringify(value))
              .filter((value) => !have.has(value)),
          )
          expect([...sent].sort()).toEqual([...unknown].sort())
          expect(one?.loads).toBe(0)
        },
      ),
      { numRuns: 100 },
    )
  })

  it('I14: an answer with another number of rows is not kept, and the caller gets the batch’s own answer', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.nat(20), { minLength: 2, maxLength: 6 }),
        fc.integer({ min: 1, max: 5 }),
        async (list, cut) => {
          const world = createWorld({ shared: false })
          const [one] = world.gateways
          const ask = (values: readonly number[]) => world.run(one?.ask(bodyOf(values)) as Promise<Told>)
          await ask(list.slice(0, 1))
          const whole = [...list.map(String)]
          // Right when it is asked for the whole batch, and short otherwise.
          world.script = ({ instances }) =>
            predictions(
              instances.length === list.length
                ? whole
                : instances.slice(0, Math.max(0, instances.length - cut)),
            )
          const told = await ask(list)
          expect(told.predictions).toEqual(whole)
          expect(told.cacheStatus).not.toMatch(/stored/)
          expect(world.asked.at(-1)?.instances).toEqual(list)
          // Whole keys for ten minutes: one new row brings the whole batch upstream again.
          world.script = ({ instances }) => predictions(instances)
          await ask(list)
          expect(world.asked.at(-1)?.instances).toEqual(list)
          await world.pass(599_000)
          await ask([...list, 99])
          expect(world.asked.at(-1)?.instances).toEqual([...list, 99])
          await world.pass(2_000)
          await ask(list)
          await ask([...list, 100])
          expect(world.asked.at(-1)?.instances).toEqual([100])
        },
      ),
      { numRuns: 25 },
    )
  })
})

describe('what must not be kept', () => {
  const bad: readonly [string, Script][] = [
    ['a 500', () => json('{"error":"x"}', [], 500)],
    ['a 503', () => json('{"error":"x"}', [], 503)],
    ['a 429', () => json('{"error":"x"}', [], 429)],
    ['a 400', () => json('{"error":"x"}', [], 400)],
    ['a 404', () => json('{"error":"x"}', [], 404)],
    ['a 302', () => json('', ['location', '/'], 302)],
    ['a 204', () => json('', [], 204)],
    ['a cookie', () => json('{"predictions":[1,2]}', ['set-cookie', 'a=1'])],
    ['no-store', () => json('{"predictions":[1,2]}', ['cache-control', 'no-store'])],
    ['private', () => json('{"predictions":[1,2]}', ['cache-control', 'private'])],
    ['an unknown Vary', () => json('{"predictions":[1,2]}', ['vary', 'x-unknown'])],
    ['a forced coding', () => json('{"predictions":[1,2]}', ['content-encoding', 'br'])],
    ['too long', () => json(`{"predictions":["${'x'.repeat(200_000)}",2]}`)],
    ['a broken connection', () => new GatewayError('backendReset', 'reset')],
    ['a timeout', () => new GatewayError('backendTimeout', 'late')],
  ]

  it('I11: leaves no entry in any tier, and the next caller gets the backend’s next answer', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...bad),
        fc.constantFrom('always' as const, 'never' as const),
        async ([, script], mode) => {
          const world = createWorld({ gateways: 2, cache: { rows: mode } })
          world.script = script
          const ask = (at: number) => world.run(world.gateways[at]?.ask(bodyOf([1, 2])) as Promise<Told>)
          const first = await ask(0)
          if (first.cacheStatus) expect(first.cacheStatus).not.toMatch(/stored/)
          await world.pass(100)
          expect(world.tier?.kept.size).toBe(0)
          world.script = ({ instances }) => predictions(instances)
          for (const at of [0, 1]) expect((await ask(at)).predictions).toEqual([1, 2])
        },
      ),
      { numRuns: 60 },
    )
  })

  it('C3: kept is exactly what may be kept: a plain 200 within the bound that is nobody’s in particular', async () => {
    const field = fc.constantFrom<readonly [name: string, value: string, isFine: boolean]>(
      // What the backend says bounds the route's ttl (RFC 9111, section 4.2).
      ['cache-control', 'max-age=0', false],
      ['cache-control', 'no-cache', false],
      ['cache-control', 'max-age=5', true],
      ['expires', '0', false],
      ['x-accel-buffering', 'no', false],
      ['cache-control', 'public, no-store', false],
      ['cache-control', 'private="x"', false],
      ['set-cookie', 'a=1', false],
      ['vary', 'accept-encoding, Origin', true],
      ['vary', '*', false],
      ['vary', 'x-a', false],
      ['content-encoding', 'identity', true],
      ['content-encoding', 'gzip', false],
      ['content-range', 'bytes 0-1/2', false],
      ['x-other', 'no-store, private, set-cookie', true],
    )
    const MAX = 2_000
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.constant(200), fc.integer({ min: 200, max: 599 })),
        fc.array(field, { maxLength: 2 }),
        fc.constantFrom(0, MAX - 100, MAX + 1),
        fc.constantFrom('always' as const, 'never' as const),
        async (status, fields, length, mode) => {
          const world = createWorld({ cache: { rows: mode, maxEntryBytes: MAX } })
          const one = world.gateways[0]
          const text = JSON.stringify({ predictions: ['x'.repeat(length)] })
          world.script = () =>
            json(
              text,
              fields.flatMap(([name, value]) => [name, value]),
              status,
            )
          const told = await world.run(one?.ask(bodyOf([1])) as Promise<Told>)
          // These have no body on the wire, whatever a backend gave them (RFC 9110, sections 15.3.5 and 15.4.5).
          const sent = status === 204 || status === 304 ? '' : text
          expect([told.status, told.text]).toEqual([status, sent])
          await world.pass(100)
          // Of two max-age the first counts (RFC 9111, section 4.2.1), and Expires only where there is none (5.3).
          const maxAge = fields.find(([, value]) => value.startsWith('max-age='))?.[1]
          const isFine = ([name, value, fine]: (typeof fields)[number]) =>
            name === 'expires' || value.startsWith('max-age=') ? (maxAge ?? value) === 'max-age=5' : fine
          const isKept = status === 200 && length < MAX && fields.every(isFine)
          expect(world.tier?.kept.size).toBe(isKept ? 1 : 0)
          expect(/; stored/.test(told.cacheStatus ?? '')).toBe(isKept)
        },
      ),
      { numRuns: 150 },
    )
  })

  it('I23: no-store leaves nothing behind and joins nobody, no-cache joins nobody, both together pass by', async () => {
    const directive = fc.constantFrom('no-store', 'no-cache', 'no-cache, no-store', 'only-if-cached')
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(rows, directive), { minLength: 1, maxLength: 5 }),
        fc.boolean(),
        async (asks, stale) => {
          const world = createWorld({ cache: { staleWhileRevalidate: 30_000, rows: 'always' } })
          const [one] = world.gateways
          if (stale) {
            for (const [list] of asks) await world.run(one?.ask(bodyOf(list)) as Promise<Told>)
            await world.pass(70_000)
          }
          const kept = world.tier?.kept.size
          const entries = one?.cache.stats().memory?.admitted
          world.script = ({ instances }) => later(world.clock, 30, predictions(instances))
          const before = world.asked.length
          const told = await world.run(
            Promise.all(
              asks.map(
                ([list, wish]) =>
                  one?.ask(bodyOf(list), { headers: ['cache-control', wish] }) as Promise<Told>,
              ),
            ),
          )
          await world.pass(500)
          for (const { cacheStatus } of told) expect(cacheStatus ?? '').not.toMatch(/collapsed|join=[1-9]/)
          const forwarded = told.filter(({ cacheStatus }) => /fwd=/.test(cacheStatus ?? '')).length
          expect(world.asked.length - before).toBe(forwarded)
          if (asks.every(([, wish]) => wish !== 'no-cache')) {
            expect(world.tier?.kept.size).toBe(kept)
            if (!stale) expect(one?.cache.stats().memory?.admitted).toBe(entries)
          }
          expect(one?.loads).toBe(0)
        },
      ),
      { numRuns: 80 },
    )
  })
})
