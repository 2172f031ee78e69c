/**
 * Purges and herds on the whole pipeline: what was asked of a backend before a purge answers nobody who comes after
 * it, on any gateway; and however many ask for the same at once, a backend is asked once and everybody is answered.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { GatewayError } from '../../src/core/errors.ts'
import { parseDigest } from '../../src/core/key.ts'
import {
  bodyOf,
  createWorld,
  json,
  later,
  predictions,
  type TestGateway,
  type Told,
  WAYS,
  type World,
} from '../support/pipeline.ts'

type Mode = 'always' | 'never'

const modes = fc.constantFrom<Mode>('always', 'never')
const scopes = fc.constantFrom('all', 'route:main', 'model:m', 'tag:t', 'key')

/**
 * False where the gateways do not name the same keys, another purge being on its way from one to the other: what was
 * filled under the newer keys is not what was purged.
 */
async function purge(world: World, one: TestGateway, scope: string, body: string): Promise<boolean> {
  if (scope !== 'key') {
    await world.run(one.epochs.purge([scope]))
    return true
  }
  const keys = await keysOf(world, one, body)
  for (const key of keys) {
    const digest = parseDigest(key)
    if (digest) await world.run(one.purgedKeys.purge(digest))
  }
  const present = await Promise.all(world.gateways.map((each) => keysOf(world, each, body)))
  return present.every((each) => each.join() === keys.join())
}

async function keysOf(world: World, one: TestGateway, body: string): Promise<string[]> {
  const { key, rows = [] } = await world.run(one.explain(body))
  return [key, ...rows.map((row) => row.key)].filter((each) => each !== undefined)
}

const gatewayOf = (world: World, at: number) => world.gateways[at] as TestGateway

describe('I8: after a purge', () => {
  it('nobody on that gateway, and within a second nobody on another, reads what was asked for before', async () => {
    const step = fc.record({
      at: fc.nat(1),
      value: fc.nat(2),
      purge: fc.option(scopes, { nil: undefined, freq: 3 }),
      /** Milliseconds until the next step: loads take 40, so many are under way when a purge comes. */
      pause: fc.constantFrom(0, 5, 20, 60, 400),
      way: fc.constantFrom(...WAYS),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 3, maxLength: 25, size: 'max' }),
        modes,
        fc.constantFrom<'always' | 'never'>('always', 'never'),
        fc.constantFrom(0, 15),
        fc.constantFrom(0, 100, 900),
        async (steps, rows, leases, tierMs, lag) => {
          const world = createWorld({ gateways: 2, cache: { rows, leases } })
          if (world.tier && tierMs > 0) world.tier.fault = () => ({ delayMs: tierMs })
          world.script = ({ serial, instances }) =>
            later(world.clock, 40, predictions(instances.map(() => serial)))
          // For each value and gateway, the serial that must have been passed by whoever comes now.
          const floor = [0, 1].map(() => new Map<number, number>())
          const raise = (at: number, values: readonly number[], serial: number) => {
            for (const value of values) floor[at]?.set(value, Math.max(serial, floor[at]?.get(value) ?? 0))
          }
          const checks: Promise<void>[] = []
          for (const { at, value, purge: scope, pause, way } of steps) {
            if (scope !== undefined) {
              const before = world.asked.length
              const values = scope === 'key' ? [value] : [0, 1, 2]
              const isValid = await purge(world, gatewayOf(world, at), scope, bodyOf([value]))
              if (isValid) raise(at, values, before)
              // The other one hears of it within a second.
              const told = () =>
                void gatewayOf(world, 1 - at)
                  .poll()
                  .then(() => isValid && raise(1 - at, values, before))
              world.clock.after(lag, told)
            }
            const must = floor[at]?.get(value) ?? 0
            const asked = gatewayOf(world, at).ask(bodyOf([value]), { way })
            checks.push(
              asked.then(({ predictions: got, status }) => {
                expect(status).toBe(200)
                expect(got?.[0]).toBeGreaterThan(must)
              }),
            )
            // One that fails before all are waited for is heard of there, once.
            checks.at(-1)?.catch(() => {})
            await world.pass(pause)
          }
          await world.run(Promise.all(checks))
        },
      ),
      { numRuns: 120 },
    )
  })

  it('by key, an answer put together from the purged row is not kept ready either', async () => {
    const world = createWorld({ shared: false })
    const one = gatewayOf(world, 0)
    await world.run(one.ask(bodyOf([1])))
    world.script = ({ serial, instances }) =>
      later(world.clock, 50, predictions(instances.map(() => `new ${serial}`)))
    const slow = one.ask(bodyOf([1, 2]))
    await world.pass(10)
    const digest = parseDigest((await one.explain(bodyOf([1]))).rows?.[0]?.key ?? '')
    if (!digest) throw new Error('no key')
    await world.run(one.purgedKeys.purge(digest))
    await world.run(slow)
    expect((await world.run(one.ask(bodyOf([1, 2])))).predictions).toEqual(['new 3', 'new 2'])
  })

  it('by key, another gateway hears of each purge, and not only that there was one', async () => {
    const world = createWorld({ gateways: 2, cache: { rows: 'never' } })
    const [one, other] = [gatewayOf(world, 0), gatewayOf(world, 1)]
    await world.run(one.ask(bodyOf([1])))
    await world.pass(100)
    await world.run(other.ask(bodyOf([1])))
    expect(world.asked).toHaveLength(1)
    const key = parseDigest((await world.run(one.explain(bodyOf([1])))).key ?? '')
    if (!key) throw new Error('no key')
    expect(await world.run(one.purgedKeys.purge(key))).toBe(true)
    await world.run(other.poll())
    world.script = ({ instances }) => predictions(instances.map(() => 'new'))
    expect((await world.run(other.ask(bodyOf([1])))).predictions).toEqual(['new'])
  })

  it('by key while the shared tier is away, the key stays purged when it comes back', async () => {
    const world = createWorld({ gateways: 2, cache: { rows: 'never' } })
    const [one, other] = [gatewayOf(world, 0), gatewayOf(world, 1)]
    const tier = world.tier as NonNullable<World['tier']>
    await world.run(one.ask(bodyOf([1])))
    await world.pass(100)
    expect(tier.kept.size).toBe(1)
    const key = parseDigest((await world.run(one.explain(bodyOf([1])))).key ?? '')
    if (!key) throw new Error('no key')
    tier.fault = () => 'error'
    expect(await world.run(one.purgedKeys.purge(key))).toBe(false)
    world.script = ({ instances }) => predictions(instances.map(() => 'new'))
    expect((await world.run(one.ask(bodyOf([1])))).predictions).toEqual(['new'])
    tier.fault = () => 'none'
    // The breaker lets the first operations through again in its own time.
    for (let i = 0; i < 90; i++) {
      await world.pass(1000)
      await world.run(one.poll())
    }
    await world.run(other.poll())
    expect((await world.run(other.ask(bodyOf([1])))).predictions).toEqual(['new'])
  })
})

describe('a herd', () => {
  const outcome = fc.constantFrom('answer', 'error', 'refusal', 'broken', 'uncacheable', 'hang')

  it('I16, I17: is one upstream request, and everyone settles by the own deadline, whatever becomes of it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            at: fc.nat(1),
            patience: fc.constantFrom(200, 1000, 4000),
            leaves: fc.boolean(),
            way: fc.constantFrom(...WAYS),
          }),
          {
            minLength: 2,
            maxLength: 30,
          },
        ),
        outcome,
        modes,
        fc.boolean(),
        async (herd, what, rows, leased) => {
          const world = createWorld({ gateways: 2, cache: { rows, leases: leased ? 'always' : 'never' } })
          world.script = ({ instances }) => {
            if (what === 'hang') return new Promise(() => {})
            const reply =
              what === 'answer'
                ? predictions(instances)
                : what === 'broken'
                  ? new GatewayError('backendReset', 'reset')
                  : what === 'uncacheable'
                    ? json(JSON.stringify({ predictions: instances }), ['set-cookie', 'a=1'])
                    : json('{"error":"x"}', [], what === 'error' ? 500 : 400)
            return later(world.clock, 100, reply)
          }
          const asks = herd.map(({ at, patience, leaves, way }) => {
            const leaving = new AbortController()
            const ask = gatewayOf(world, at).ask(bodyOf([7]), {
              timeoutMs: patience,
              signal: leaving.signal,
              way,
            })
            if (leaves) world.clock.after(30, () => leaving.abort(new GatewayError('callerLeft', 'gone')))
            return ask
          })
          const told = await world.run(Promise.all(asks))
          told.forEach(({ ms, status, fault }, i) => {
            expect(ms).toBeLessThanOrEqual((herd[i]?.patience ?? 0) + 10)
            if (herd[i]?.leaves) expect(fault).toBe('callerLeft')
            else if (what === 'answer') expect(status).toBe(200)
          })
          await world.pass(15_000)
          for (const one of world.gateways) expect(one.loads).toBe(0)
          const stayed = herd.filter(({ leaves }) => !leaves)
          const groups = new Set(herd.map(({ at }) => at)).size
          if (what !== 'answer' || stayed.length === 0) return
          // One a gateway; one in all where gateways lease.
          expect(world.asked.length).toBeLessThanOrEqual(groups)
          if (leased && stayed.length === herd.length) expect(world.asked.length).toBe(1)
        },
      ),
      { numRuns: 120 },
    )
  })

  it('I16: of 200 over two gateways with leases, the first of its kind included, is one upstream request', async () => {
    const world = createWorld({ gateways: 2, cache: { leases: 'always' } })
    world.script = ({ instances }) => later(world.clock, 300, predictions(instances))
    const asks = Array.from({ length: 200 }, (_, i) => gatewayOf(world, i % 2).ask(bodyOf([1, 2, 3])))
    const told: Told[] = await world.run(Promise.all(asks))
    expect(new Set(told.map(({ text }) => text))).toEqual(new Set(['{"predictions":[1,2,3]}']))
    expect(world.asked.length).toBe(1)
  })

  it.each<Mode>(['always', 'never'])(
    'T22: calls that cannot be kept are not served one after the other (rows: %s)',
    async (rows) => {
      const world = createWorld({ shared: false, cache: { rows } })
      world.script = ({ instances }) =>
        later(world.clock, 100, json(JSON.stringify({ predictions: instances }), ['set-cookie', 'a=1']))
      await world.run(gatewayOf(world, 0).ask(bodyOf([1])))
      const told = await world.run(
        Promise.all(Array.from({ length: 10 }, () => gatewayOf(world, 0).ask(bodyOf([1])))),
      )
      expect(Math.max(...told.map(({ ms }) => ms))).toBeLessThan(200)
      expect(world.asked.length).toBe(11)
    },
  )
})
