// The scaler's decisions, one situation each.
import { describe, expect, it } from 'vitest'
import { decide } from '../../../../src/control/scale/decide.ts'
import type { LoadBucket } from '../../../../src/control/scale/demand.ts'
import { even, Feed, OPTIONS } from './feed.ts'

const MINUTE = 60_000

describe('the scaler', () => {
  it('asks for what a tenfold step needs within a second of it', () => {
    const feed = new Feed()
    feed.run(3 * MINUTE, { perSecond: 40 })
    const before = feed.desired
    feed.run(1_000, { perSecond: 400, ready: before }, 250)
    expect(before).toBe(1)
    expect(feed.desired).toBeGreaterThanOrEqual(6)
    expect(feed.last.sentence).toMatch(
      /replicas: (the load rose|calls are piling up|the pool is under pressure|that is what there is)/,
    )
  })

  it('stays where it is under even load, however long', () => {
    const feed = new Feed()
    feed.run(5 * MINUTE, { perSecond: 200 })
    const settled = feed.desired
    feed.run(20 * MINUTE, { perSecond: 200 }, 1_000)
    expect(feed.decisions.slice(-1200).every(({ desired }) => desired === settled)).toBe(true)
    expect(settled).toBe(3)
  })

  it('goes back to the minimum after the load has gone, without a turn on the way', () => {
    const feed = new Feed()
    feed.run(2 * MINUTE, { perSecond: 400 })
    const up = feed.desired
    // It was there for two minutes, and is waited for five times as long.
    feed.run(9 * MINUTE, { perSecond: 5 }, 1_000)
    expect(feed.last).toMatchObject({ desired: up, reason: 'hold_new_load' })
    expect(feed.last.sentence).toMatch(
      /nobody knows yet whether that load comes back \(waited for 1\d minutes\)/,
    )
    feed.run(3 * MINUTE, { perSecond: 5 }, 1_000)
    expect(up).toBeGreaterThanOrEqual(6)
    expect(feed.desired).toBe(1)
    expect(feed.last.signals.reversals).toBeLessThanOrEqual(1)
  })

  it.each([100, 250, 1_000, 2_000])('decides the same when asked every %i ms', (tickMs) => {
    const feed = new Feed()
    feed.run(3 * MINUTE, { perSecond: 40 }, tickMs)
    expect(feed.desired).toBe(1)
    feed.run(MINUTE, { perSecond: 400 }, tickMs)
    expect(feed.desired).toBe(6)
    feed.run(4 * MINUTE, { perSecond: 40 }, tickMs)
    expect(feed.desired).toBe(6)
    feed.run(2 * MINUTE, { perSecond: 40 }, tickMs)
    expect(feed.desired).toBe(1)
  })

  it('keeps a level for the whole down window and more while the load is new, and for less where it was long without it', () => {
    const kept = (calmMinutes: number) => {
      const feed = new Feed()
      feed.run(calmMinutes * MINUTE, { perSecond: 40 }, 1_000)
      feed.run(MINUTE, { perSecond: 400 }, 1_000)
      const fellAt = feed.now
      feed.run(6 * MINUTE, { perSecond: 40 }, 1_000)
      const drop = feed.decisions.find(({ at, desired }) => at > fellAt && desired < 6)
      return Math.round(((drop?.at ?? Infinity) - fellAt) / MINUTE)
    }
    expect(kept(3)).toBe(5)
    expect(kept(12)).toBe(2)
  })

  it.each([200, 340])('a load that came back after %i s is waited for the next time', (gapS) => {
    const feed = new Feed()
    feed.run(12 * MINUTE, { perSecond: 40 }, 1_000)
    for (const _ of [1, 2, 3]) {
      feed.run(MINUTE, { perSecond: 400 }, 1_000)
      feed.run(gapS * 1_000, { perSecond: 40 }, 1_000)
    }
    expect(feed.decisions.slice(-gapS).every(({ desired }) => desired >= 6)).toBe(true)
    // One that stays away is given up on.
    feed.run(5 * MINUTE, { perSecond: 40 }, 1_000)
    expect(feed.desired).toBe(1)
  })

  it('a load that came back later than that is waited for from the second time on, and given up on when it stays away', () => {
    const feed = new Feed()
    feed.run(12 * MINUTE, { perSecond: 40 }, 1_000)
    const desiredAtTheEnd = [1, 2, 3, 4].map(() => {
      feed.run(4 * MINUTE, { perSecond: 400 }, 1_000)
      feed.run(12 * MINUTE, { perSecond: 40 }, 1_000)
      return feed.desired
    })
    expect(desiredAtTheEnd).toEqual([1, 1, 6, 6])
    expect(feed.last).toMatchObject({ reason: 'hold_return', signals: { returns: 3 } })
    expect(feed.last.sentence).toContain(
      'the last 3 times the load had gone, it came back within 13 minutes (waited for 16 minutes)',
    )
    feed.run(5 * MINUTE, { perSecond: 40 }, 1_000)
    expect(feed.desired).toBe(1)
  })

  it.each([1, 60, 3_600])('no load is waited for without an end: one of %i s', (highS) => {
    const feed = new Feed()
    feed.run(highS * 1_000, { perSecond: 400 }, 1_000)
    feed.run(16 * MINUTE, { perSecond: 40 }, 1_000)
    expect(feed.desired).toBe(1)
  })

  it('keeps a lower utilisation in a small pool than in a large one', () => {
    const utilisation = [40, 400, 1_200].map((perSecond) => {
      const feed = new Feed({ max: 100, slots: 1 })
      feed.run(5 * MINUTE, { perSecond })
      return (perSecond * 0.05) / feed.desired
    })
    expect(utilisation[0]).toBeLessThan(0.7)
    expect(utilisation[2]).toBeGreaterThan(0.85)
  })
})

describe('measurements that are missing', () => {
  it('hold the present scale when nothing was ever measured', () => {
    const feed = new Feed()
    feed.give(even(0, 0, { perSecond: 0, ready: 7 }))
    expect(feed.last).toMatchObject({ desired: 7, direction: 'stay', mode: 'hold', reason: 'hold_no_data' })
  })

  it('hold the last decision when reports stop', () => {
    const feed = new Feed()
    feed.run(2 * MINUTE, { perSecond: 400 })
    const before = feed.desired
    feed.now += 30 * MINUTE
    feed.give(undefined)
    expect(feed.last).toMatchObject({ desired: before, mode: 'hold', reason: 'hold_stale' })
    feed.give(even(feed.now - 20_000, 500, { perSecond: 0, ready: before }))
    expect(feed.last).toMatchObject({ desired: before, reason: 'hold_stale' })
  })

  it('do not count as low load: after a gap, a whole hold passes before the pool shrinks', () => {
    const feed = new Feed()
    feed.run(4 * MINUTE, { perSecond: 400 })
    const before = feed.desired
    feed.now += 10 * MINUTE
    feed.run(2 * MINUTE, { perSecond: 20 })
    expect(feed.desired).toBe(before)
    feed.run(2 * MINUTE, { perSecond: 20 })
    expect(feed.desired).toBe(1)
  })

  it('given twice, add nothing', () => {
    const feed = new Feed()
    feed.run(MINUTE, { perSecond: 100 })
    const report = even(feed.now + 500, 500, { perSecond: 100, ready: feed.desired })
    feed.now += 500
    const once = feed.give(report)
    const twice = decide(once.memory, report, feed.options, feed.now)
    expect(twice.decision.signals.missesPerSecond).toBe(once.decision.signals.missesPerSecond)
    expect(twice.decision.desired).toBe(once.decision.desired)
  })
})

describe('bounds', () => {
  it('are kept when they change under a running pool', () => {
    const feed = new Feed()
    feed.run(2 * MINUTE, { perSecond: 400 })
    const narrow = { ...OPTIONS, min: 2, max: 3 }
    const demand = even(feed.now + 500, 500, { perSecond: 400, ready: 6 })
    const { decision } = decide(feed.memory, demand, narrow, feed.now + 500)
    expect(decision.desired).toBe(3)
    expect(decision.isCapped).toBe(true)
    expect(decision.sentence).toContain('more is needed than the maximum of 3')
  })
})

describe('verdicts', () => {
  it('an SLO below the service time is infeasible, and the pool is sized by utilisation', () => {
    const feed = new Feed()
    feed.run(5 * MINUTE, { perSecond: 40, serviceMs: 400 })
    expect(feed.last.sloFeasible).toBe(false)
    expect(feed.desired).toBe(Math.ceil((40 * 0.4) / 0.7 / 4))
    expect(feed.last.sentence).toContain('cannot be kept by any number of replicas')
  })

  it('a replica that does not start in time is replaced, within the bounds', () => {
    const feed = new Feed()
    feed.run(3 * MINUTE, { perSecond: 200, ready: 3 })
    expect(feed.desired).toBe(3)
    feed.run(2_000, {
      perSecond: 200,
      ready: 2,
      rest: { replicas: { ready: 2, startingMs: [60_000], slow: 0, draining: 0 } },
    })
    expect(feed.last).toMatchObject({ desired: 4, from: 4 })
    expect(feed.decisions.some(({ reason }) => reason === 'start_failed')).toBe(true)
  })

  it('a replica that is merely starting is counted, not asked for again', () => {
    const feed = new Feed()
    feed.run(3 * MINUTE, { perSecond: 200, ready: 3 })
    feed.run(2_000, {
      perSecond: 200,
      ready: 2,
      rest: { replicas: { ready: 2, startingMs: [3_000], slow: 0, draining: 0 } },
    })
    expect(feed.desired).toBe(3)
  })
})

describe('zero', () => {
  it('is reached after the idle time, and left with the first call', () => {
    const feed = new Feed({ min: 0 })
    feed.run(2 * MINUTE, { perSecond: 40 })
    feed.run(4 * MINUTE, { perSecond: 0 })
    expect(feed.desired).toBe(1)
    feed.run(2 * MINUTE, { perSecond: 0 })
    expect(feed.desired).toBe(0)
    feed.now += 100
    const first: LoadBucket = { offered: 1, answered: 0, concurrency: 1, rise: 1 }
    feed.give(even(feed.now, 100, { perSecond: 0, ready: 0, rest: { buckets: [first], queue: 1 } }))
    expect(feed.last).toMatchObject({ desired: 1, reason: 'woken' })
  })

  it('is never reached with a minimum of one', () => {
    const feed = new Feed()
    feed.run(2 * MINUTE, { perSecond: 40 })
    feed.run(20 * MINUTE, { perSecond: 0 }, 1_000)
    expect(feed.desired).toBe(1)
  })

  it('is left with the first call by a pool that never served one', () => {
    const feed = new Feed({ min: 0 })
    feed.give(even(0, 0, { perSecond: 0, ready: 0 }))
    expect(feed.desired).toBe(0)
    feed.now = 1_000
    const first: LoadBucket = { offered: 1, answered: 0, concurrency: 1, rise: 1 }
    feed.give(even(1_000, 1_000, { perSecond: 0, ready: 0, rest: { buckets: [first], queue: 1 } }))
    expect(feed.last).toMatchObject({ desired: 1, reason: 'woken' })
  })
})

describe('without an SLO', () => {
  it('the pool is held at the utilisation it is given', () => {
    const { sloMs: _, ...options } = OPTIONS
    const feed = new Feed()
    for (let now = 500; now <= 5 * MINUTE; now += 500) {
      const decided = decide(
        feed.memory,
        even(now, 500, { perSecond: 200, ready: feed.desired || 2 }),
        options,
        now,
      )
      feed.memory = decided.memory
      feed.decisions.push(decided.decision)
    }
    expect(feed.desired).toBe(Math.ceil(10 / 0.7 / 4))
  })
})
