// What the window of load says: the present rate, burstiness, heaps.
import { describe, expect, it } from 'vitest'
import type { Demand, LoadBucket } from '../../../../src/control/scale/demand.ts'
import {
  addLoad,
  concurrencyOf,
  dispersionOf,
  emptyLoad,
  type LoadMemory,
  meanOf,
  pileUp,
  presentRate,
} from '../../../../src/control/scale/load.ts'
import { createRandom, exponential } from '../../../../src/lib/seeded-random.ts'

const report = (buckets: readonly LoadBucket[]): Demand => ({
  at: 0,
  buckets,
  queue: 0,
  inflight: 0,
  oldestWaitMs: 0,
  service: [],
  latency: [],
  replicas: { ready: 1, startingMs: [], slow: 0, draining: 0 },
  startsMs: [],
})

const bucket = (offered: number, rest: Partial<LoadBucket> = {}): LoadBucket => ({
  offered,
  answered: 0,
  concurrency: 0,
  rise: 0,
  ...rest,
})

/** Poisson counts: `tenths[i]` arrivals a tenth of a second expected, for `count` tenths each. */
function poissonLoad(seed: number, phases: readonly [perSecond: number, seconds: number][]): LoadMemory {
  const random = createRandom(seed)
  const buckets: LoadBucket[] = []
  for (const [perSecond, seconds] of phases) {
    for (let i = 0; i < seconds * 10; i++) {
      let offered = 0
      for (let at = exponential(random, 1 / perSecond); at < 0.1; at += exponential(random, 1 / perSecond))
        offered++
      buckets.push(bucket(offered))
    }
  }
  return addLoad(emptyLoad(60_000), report(buckets))
}

describe('the present rate', () => {
  it('is the mean of the whole window while the load is steady', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const rate = presentRate(poissonLoad(seed, [[200, 60]]), ['offered'], 1)
      expect(rate.windowMs).toBe(60_000)
      expect(Math.abs(rate.perSecond - 200)).toBeLessThan(8)
    }
  })

  it.each([
    ['up', 50, 500],
    ['down', 500, 50],
  ])('follows a tenfold step %s within a second and a half', (_name, before, after) => {
    for (let seed = 1; seed <= 20; seed++) {
      const rate = presentRate(
        poissonLoad(seed, [
          [before, 60],
          [after, 1.5],
        ]),
        ['offered'],
        1,
      )
      expect(rate.perSecond / after).toBeGreaterThan(0.6)
      expect(rate.perSecond / after).toBeLessThan(2)
    }
  })

  it('has half of a tenfold step after half a second', () => {
    const rate = presentRate(
      poissonLoad(3, [
        [50, 60],
        [500, 0.5],
      ]),
      ['offered'],
      1,
    )
    expect(rate.perSecond).toBeGreaterThan(250)
  })

  it('does not take the noise of a quiet pool for a step', () => {
    for (let seed = 1; seed <= 50; seed++) {
      expect(presentRate(poissonLoad(seed, [[1, 60]]), ['offered'], 1).perSecond).toBeLessThan(2)
    }
  })

  it('is zero before anything was measured', () => {
    expect(presentRate(emptyLoad(60_000), ['offered'], 1)).toEqual({ perSecond: 0, windowMs: 0 })
  })
})

describe('burstiness', () => {
  it('is 1 for Poisson arrivals, with or without a step in the window', () => {
    expect(dispersionOf(poissonLoad(1, [[200, 60]]))).toBeLessThan(1.25)
    expect(
      dispersionOf(
        poissonLoad(1, [
          [50, 30],
          [500, 30],
        ]),
      ),
    ).toBeLessThan(1.25)
  })

  it('shows arrivals that come ten at a time, and is bounded', () => {
    const tens = Array.from({ length: 600 }, (_, i) => bucket(i % 4 === 0 ? 10 : 0))
    expect(dispersionOf(addLoad(emptyLoad(60_000), report(tens)))).toBeGreaterThan(3)
    const hundreds = Array.from({ length: 600 }, (_, i) => bucket(i % 4 === 0 ? 100 : 0))
    expect(dispersionOf(addLoad(emptyLoad(60_000), report(hundreds)))).toBe(8)
  })
})

describe('the pile-up', () => {
  it('counts calls, not time: a heap of ten a second is most of the calls, though it is a tenth of the time', () => {
    const buckets = Array.from({ length: 600 }, (_, i) =>
      i % 10 === 0 ? bucket(11, { rise: 10 }) : bucket(1, { rise: 1 }),
    )
    expect(pileUp(addLoad(emptyLoad(60_000), report(buckets)), 0.05)).toBe(10)
  })

  it('leaves out a heap so rare that fewer than the given share of the calls are in it', () => {
    const buckets = Array.from({ length: 600 }, (_, i) =>
      i === 300 ? bucket(20, { rise: 20 }) : bucket(10, { rise: 3 }),
    )
    expect(pileUp(addLoad(emptyLoad(60_000), report(buckets)), 0.05)).toBe(3)
  })
})

describe('the window', () => {
  it('tells the mean concurrency from its p95, which a short burst moves alone', () => {
    const held = Array.from({ length: 600 }, (_, i) => bucket(1, { concurrency: i % 10 === 0 ? 12 : 2 }))
    expect(concurrencyOf(addLoad(emptyLoad(60_000), report(held)))).toEqual({ mean: 3, p95: 12 })
    expect(concurrencyOf(emptyLoad(60_000))).toEqual({ mean: 0, p95: 0 })
  })

  it('forgets what is older than itself', () => {
    const full = addLoad(emptyLoad(1_000), report(Array.from({ length: 10 }, () => bucket(5))))
    const later = addLoad(full, report(Array.from({ length: 10 }, () => bucket(1, { concurrency: 3 }))))
    expect(meanOf(later, 'offered', 1_000)).toBe(1)
    expect(meanOf(later, 'concurrency', 300)).toBe(3)
    expect(meanOf(full, 'offered', 1_000)).toBe(5)
  })
})
