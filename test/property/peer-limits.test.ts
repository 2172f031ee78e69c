/**
 * Rates over several gateways, in simulated time: reports that are late, lost or sent again, clocks that run apart, a store
 * that is away for a while, and calls that come to any of the gateways.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LimitWorld } from '../support/limit-world.ts'

const rate = { count: 100, perMs: 1000 }
const SOUND = { delayMs: 5, lost: 0 }
const WINDOW_MS = 5_000
const ALL = 500

describe('a rate of 100/s', () => {
  it('is let through once by all gateways together, wherever the calls come', {
    timeout: 120_000,
  }, async () => {
    const worlds = fc.record({
      seed: fc.integer(),
      busy: fc.integer({ min: 1, max: 5 }),
      idle: fc.integer({ min: 0, max: 3 }),
      perSecond: fc.integer({ min: 200, max: 500 }),
      burst: fc.constantFrom(200, 500, 1000, 2000),
      delayMs: fc.integer({ min: 1, max: 40 }),
    })
    await fc.assert(
      fc.asyncProperty(worlds, async ({ seed, busy, idle, perSecond, burst, delayMs }) => {
        const world = new LimitWorld(seed, busy + idle, { delayMs, lost: 0 })
        const load = [...new Array<number>(busy).fill(perSecond), ...new Array<number>(idle).fill(0)]
        await world.run(15_000, load, { rate, burst, cost: 1 })
        // The burst is spent by then, also that of gateways that did not yet know of each other.
        const { fewest, most } = world.windows(WINDOW_MS, 5_000)
        expect(fewest).toBeGreaterThanOrEqual(0.95 * ALL)
        expect(most).toBeLessThanOrEqual(1.1 * ALL)
      }),
      { numRuns: 40 },
    )
  })

  it('is let through in all when much comes to one gateway and little to another', async () => {
    const world = new LimitWorld(2, 2, SOUND)
    await world.run(20_000, [300, 20], { rate, burst: 500, cost: 1 })
    expect(world.windows(WINDOW_MS, 5_000).fewest).toBeGreaterThanOrEqual(0.95 * ALL)
    expect(world.windows(WINDOW_MS, 5_000).most).toBeLessThanOrEqual(1.1 * ALL)
  })

  it('is had by gateways that want as much about equally, also by one that begins later', async () => {
    for (const seed of [1, 2, 3]) {
      const world = new LimitWorld(seed, 2, SOUND)
      const charge = { rate, burst: 1000, cost: 1 }
      await world.run(10_000, [300, 0], charge)
      await world.run(5_000, [300, 300], charge)
      const before = world.granted.map(({ length }) => length)
      await world.run(20_000, [300, 300], charge)
      const late = (world.granted[1]?.length ?? 0) - (before[1] ?? 0)
      expect(late).toBeGreaterThan(0.3 * 20 * 100)
      expect(late).toBeLessThan(0.7 * 20 * 100)
    }
  })

  it('is let through once where hardly any of it may be used at once', async () => {
    const world = new LimitWorld(6, 3, SOUND)
    await world.run(20_000, [400, 400, 400], { rate, burst: 10, cost: 1 })
    expect(world.windows(WINDOW_MS, 5_000).fewest).toBeGreaterThanOrEqual(0.95 * ALL)
    expect(world.windows(WINDOW_MS, 5_000).most).toBeLessThanOrEqual(1.1 * ALL)
  })

  it('holds over ten gateways', async () => {
    const world = new LimitWorld(3, 10, SOUND)
    await world.run(20_000, new Array<number>(10).fill(60), { rate, burst: 1000, cost: 1 })
    expect(world.windows(WINDOW_MS, 5_000).fewest).toBeGreaterThanOrEqual(0.95 * ALL)
    expect(world.windows(WINDOW_MS, 5_000).most).toBeLessThanOrEqual(1.1 * ALL)
  })

  it('holds while now and then a message is lost', async () => {
    for (const seed of [1, 2, 3]) {
      const world = new LimitWorld(seed, 3, { delayMs: 30, lost: 0.005 })
      await world.run(60_000, [200, 200, 200], { rate, burst: 500, cost: 1 })
      const calls = world.granted.flat().filter((at) => at >= 5_000).length
      expect(calls).toBeGreaterThan(0.9 * 55 * 100)
      expect(calls).toBeLessThan(1.1 * 55 * 100)
    }
  })
})

describe('without the store', () => {
  const outage = async (load: readonly number[], seed = 1) => {
    const isDown = (now: number) => now >= 10_000 && now < 20_000
    const world = new LimitWorld(seed, load.length, { ...SOUND, isDown })
    await world.run(40_000, load, { rate, burst: 500, cost: 1 })
    const calls = (from: number, to: number) =>
      world.granted.map((all) => all.filter((at) => at >= from && at < to).length)
    return { world, calls }
  }

  it('each gateway has its part, and all together no more than the rate', async () => {
    for (const seed of [1, 2, 3]) {
      const { world, calls } = await outage([300, 300], seed)
      // A second and a half passes before both know.
      for (const each of calls(12_000, 20_000)) {
        expect(each).toBeGreaterThan(0.9 * 400)
        expect(each).toBeLessThan(1.1 * 400)
      }
      expect(world.windows(WINDOW_MS, 5_000).most).toBeLessThanOrEqual(1.15 * ALL)
      expect(world.windows(WINDOW_MS, 25_000).most).toBeLessThanOrEqual(1.1 * ALL)
      expect(world.windows(WINDOW_MS, 25_000).fewest).toBeGreaterThanOrEqual(0.95 * ALL)
    }
  })

  it('one that alone is busy has no more than its part', async () => {
    const { calls } = await outage([300, 0, 0, 0])
    const [busy = 0] = calls(12_000, 20_000)
    expect(busy).toBeGreaterThan(0.9 * 200)
    expect(busy).toBeLessThan(1.1 * 200)
  })
})

it('a burst is there once, and a gateway that is asked alone has all of it within a second', async () => {
  const world = new LimitWorld(4, 2, SOUND)
  const charge = { rate: { count: 1, perMs: 100 }, burst: 10_000, cost: 1 }
  await world.run(2_000, [0, 0], charge)
  await world.run(1_000, [2_000, 0], charge)
  const alone = world.granted.flat().length
  expect(alone).toBeGreaterThanOrEqual(90)
  expect(alone).toBeLessThanOrEqual(110)

  const both = new LimitWorld(5, 2, SOUND)
  await both.run(2_000, [0, 0], charge)
  await both.run(1_000, [2_000, 2_000], charge)
  expect(both.granted.flat().length).toBeLessThanOrEqual(1.1 * 110)
})

describe('a rate of 10,000 tokens a second, which calls reserve and settle when they end', () => {
  const tokens = { count: 10_000, perMs: 1000 }
  // Each call takes 100 in the end.
  it.each([
    ['more than they take', 500, 50, 0.95],
    // What is reserved at a time bounds what runs at a time.
    ['much more, for long', 2_000, 400, 0.75],
    ['less than they take', 20, 100, 0.95],
  ])('%s: it is taken once by all gateways together', async (_, cost, afterMs, least) => {
    for (const seed of [1, 2, 3]) {
      const world = new LimitWorld(seed, 3, SOUND)
      await world.run(30_000, [300, 300, 60], { rate: tokens, burst: 1000, cost }, { afterMs, cost: 100 })
      const calls = world.granted.flat().filter((at) => at >= 5_000).length
      expect(calls).toBeGreaterThan(least * 25 * 100)
      expect(calls).toBeLessThan(1.05 * 25 * 100)
    }
  })
})
