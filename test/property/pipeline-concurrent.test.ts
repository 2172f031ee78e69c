/**
 * Calls that are under way together, on two gateways over one faulty tier, while callers leave and versions change
 * under them: each answer is one that a single version gives to this caller, a version that was deployed while the
 * caller waited; and nobody fails for another's sake.
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

const step = fc.record({
  at: fc.nat(1),
  rows: fc.array(fc.nat(4), { minLength: 1, maxLength: 5 }),
  by: fc.constantFrom('', 'Bearer a'),
  /** Milliseconds after which the caller leaves. */
  leaves: fc.option(fc.constantFrom(5, 25, 45), { nil: undefined, freq: 3 }),
  deploys: fc.boolean(),
  tier: fc.constantFrom('none' as const, 'none' as const, 'error' as const, 'hang' as const),
  pause: fc.constantFrom(0, 0, 10, 30, 100),
  way: fc.constantFrom(...WAYS),
})
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

interface Asked extends Step {
  /** The version at the start; the last one there was while the caller waited is the version at the end. */
  readonly since: number
}

describe('calls under way together', () => {
  it('I1, I5, I7, I12, F2: are each answered by one version of their time, whoever leaves or fails', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 3, maxLength: 20, size: 'max' }),
        fc.record({
          rows: fc.constantFrom<'always' | 'never'>('always', 'never'),
          leases: fc.constantFrom<'always' | 'never'>('always', 'never'),
        }),
        fc.boolean(),
        async (steps, cache, answersLate) => {
          let version = 1
          const world = createWorld({ gateways: 2, cache })
          world.script = async ({ caller, instances }) => {
            const early = version
            await later(world.clock, 40, predictions([]))
            const v = answersLate ? version : early
            return { reply: predictions(instances.map((row) => [v, caller, row])), version: `v${v}` }
          }
          const checks: Promise<void>[] = []
          for (const one of steps) {
            if (one.deploys) world.deploy(`v${++version}`)
            if (world.tier) world.tier.fault = () => one.tier
            const leaving = new AbortController()
            const { leaves } = one
            if (leaves !== undefined)
              world.clock.after(leaves, () => leaving.abort(new GatewayError('callerLeft', 'gone')))
            const headers = one.by === '' ? [] : ['authorization', one.by]
            const asked = { ...one, since: version }
            const answer = (world.gateways[one.at] as TestGateway).ask(bodyOf(one.rows), {
              headers,
              signal: leaving.signal,
              way: one.way,
            })
            checks.push(answer.then((told) => check(told, asked, version)))
            checks.at(-1)?.catch(() => {})
            await world.pass(one.pause)
          }
          await world.run(Promise.all(checks))
          await world.pass(12_000)
          for (const { loads } of world.gateways) expect(loads).toBe(0)
        },
      ),
      { numRuns: 120 },
    )
  })

  function check(told: Told, { by, rows, leaves, since }: Asked, until: number): void {
    if (leaves !== undefined && told.fault === 'callerLeft') return
    expect([told.status, told.fault]).toEqual([200, undefined])
    const [version] = (told.predictions ?? [])[0] as [number]
    expect(told.predictions).toEqual(rows.map((row) => [version, by, row]))
    expect(version).toBeGreaterThanOrEqual(since)
    expect(version).toBeLessThanOrEqual(until)
  }
})

describe('C2: between a load and memory', () => {
  it('is no gap: whoever comes, at whatever turn of the load, sends nothing', async () => {
    const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
    await fc.assert(
      fc.asyncProperty(
        // After how many turns of the event loop, and how many promises within one, each caller comes.
        fc.array(fc.tuple(fc.nat(6), fc.nat(30)), { minLength: 1, maxLength: 12 }),
        fc.constantFrom<'always' | 'never'>('always', 'never'),
        fc.constantFrom<'always' | 'never'>('always', 'never'),
        fc.boolean(),
        async (arrivals, rows, leases, shared) => {
          const world = createWorld({ shared, cache: { rows, leases } })
          const one = world.gateways[0] as TestGateway
          await world.run(one.ask(bodyOf([0])))
          world.script = async ({ instances }) => {
            await turn()
            return predictions(instances)
          }
          const before = world.asked.length
          const come = async ([turns, promises]: readonly [number, number]) => {
            for (let i = 0; i < turns; i++) await turn()
            for (let i = 0; i < promises; i++) await Promise.resolve()
            // Each spelled in its own way, or the ready answer would hide a gap.
            return one.ask(bodyOf([1, 2]) + ' '.repeat(spaces++))
          }
          let spaces = 0
          const told = await world.run(Promise.all([[0, 0] as const, ...arrivals].map(come)))
          for (const { predictions: got } of told) expect(got).toEqual([1, 2])
          expect(world.asked.length - before).toBe(1)
          expect(one.loads).toBe(0)
        },
      ),
      { numRuns: 60 },
    )
  })
})

describe('I21: a stream', () => {
  it('is passed on byte for byte to each caller its own, breaks where it broke, and is never kept', async () => {
    const chunk = fc.constantFrom('data: {"a":1}\n\n', 'data: [DONE]\n\n', 'da', 'ta: x', '\n', '')
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(chunk, { maxLength: 6 }), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        fc.constantFrom<'always' | 'never'>('always', 'never'),
        async (streams, breaks, rows) => {
          const world = createWorld({ cache: { rows } })
          const one = world.gateways[0] as TestGateway
          const given: string[] = []
          world.script = async ({ serial }) => {
            await later(world.clock, 20, predictions([]))
            const chunks = streams[(serial - 1) % streams.length] as readonly string[]
            given.push(chunks.join(''))
            return {
              ...json('', []),
              headers: ['content-type', 'text/event-stream'],
              body: flow(chunks, breaks),
            }
          }
          const told = await world.run(Promise.all(streams.map(() => one.ask(bodyOf([1])))))
          expect(world.asked.length).toBe(streams.length)
          if (breaks) for (const { fault } of told) expect(fault).toBe('backendReset')
          else expect(told.map(({ text }) => text).sort()).toEqual(given.sort())
          await world.pass(1000)
          expect([world.tier?.kept.size, one.cache.stats().memory?.entries]).toEqual([0, 0])
        },
      ),
      { numRuns: 40 },
    )
  })

  async function* flow(chunks: readonly string[], breaks: boolean): AsyncGenerator<Uint8Array> {
    for (const chunk of chunks) yield Buffer.from(chunk)
    if (breaks) throw new GatewayError('backendReset', 'reset')
  }
})
