import { describe, expect, it } from 'vitest'
import { ConcurrencyCurve, isotonic } from '../../../../../src/data/balance/limits/curve.ts'
import { GradientLimit } from '../../../../../src/data/balance/limits/gradient.ts'
import { Limits } from '../../../../../src/data/balance/limits/limit.ts'
import type { AttemptOutcome } from '../../../../../src/data/balance/policies/policy.ts'
import { createLoadTable } from '../../../../../src/data/balance/table.ts'

describe('the gradient', () => {
  const warm = (serviceMs?: number) => {
    const limit = new GradientLimit({ initial: 50, min: 20, max: 200, ...(serviceMs && { serviceMs }) })
    for (let window = 0; window < 15; window++) limit.sample(100, 1_000)
    return limit
  }

  it('climbs while latency stays', () => {
    expect(warm().limit).toBeCloseTo(62, 5)
  })

  it('comes down after a step as the published rule does', () => {
    const limit = warm()
    const series = Array.from({ length: 10 }, () => Math.round(limit.sample(300, 1_000) * 10) / 10)
    expect(series).toEqual([56.6, 51.9, 47.6, 43.7, 40.3, 37.2, 34.5, 32.0, 29.8, 27.8])
  })

  it('without a guard takes a lasting slowdown for the new normal, and runs away', () => {
    const limit = warm()
    const at = new Map<number, number>()
    for (let window = 1; window <= 400; window++) at.set(window, Math.floor(limit.sample(300, 1_000)))
    expect([20, 100, 150, 200, 250, 300, 400].map((window) => at.get(window))).toEqual([
      20, 20, 26, 47, 87, 127, 200,
    ])
  })

  it('with a guard stays down as long as calls take too long', () => {
    const limit = warm(250)
    for (let window = 0; window < 400; window++) limit.sample(300, 1_000)
    expect(limit.limit).toBe(20)
    for (let window = 0; window < 60; window++) limit.sample(100, 1_000)
    expect(limit.limit).toBeGreaterThan(50)
  })

  it('does not grow on calls that never came near it', () => {
    const limit = warm()
    for (let window = 0; window < 50; window++) limit.sample(100, 10)
    expect(limit.limit).toBeCloseTo(62, 5)
  })
})

describe('the curve', () => {
  /** A backend that batches: latency α + β·n, so that throughput levels off at 1/β. */
  const feed = (curve: ConcurrencyCurve, inflight: number, ms: number, now = 0) => {
    for (let call = 0; call < 40; call++) curve.observe(now, inflight, ms)
  }

  it('allows the most calls that still answer in time', () => {
    const curve = new ConcurrencyCurve({ serviceMs: 20 })
    for (const inflight of [1, 2, 4, 8, 16, 24, 32]) feed(curve, inflight, 6 + 0.9 * inflight)
    // 6 + 0.9 · 12 = 16.8 ms would still do, but was never seen; 16 calls take 20.4.
    expect(curve.limit).toBe(8)
  })

  it('stops where more calls bring no more throughput', () => {
    const curve = new ConcurrencyCurve({ serviceMs: 1_000 })
    for (const inflight of [1, 2, 3, 4]) feed(curve, inflight, 10)
    for (const inflight of [6, 8, 12]) feed(curve, inflight, (10 * inflight) / 4)
    expect(curve.limit).toBe(4)
  })

  it('reaches a quarter above what was seen to be well, and so finds its way up', () => {
    const curve = new ConcurrencyCurve({ serviceMs: 50 })
    expect(curve.limit).toBe(4)
    let now = 0
    for (let round = 0; round < 20; round++) {
      now += 1_000
      feed(curve, curve.limit, 10, now)
    }
    expect(curve.limit).toBeGreaterThan(32)
  })

  it('forgets: what was slow an hour ago is tried again', () => {
    const curve = new ConcurrencyCurve({ serviceMs: 20 })
    for (const inflight of [1, 2, 4]) feed(curve, inflight, 100)
    expect(curve.limit).toBe(1)
    for (let minute = 0; minute < 120; minute++) feed(curve, 1, 5, minute * 60_000)
    expect(curve.limit).toBeGreaterThan(1)
  })

  it('is made monotone', () => {
    const points = [1, 3, 2, 4, 1].map((value) => ({ value, weight: 1 }))
    expect(isotonic(points)).toEqual([1, 2.5, 2.5, 2.5, 2.5])
    expect(isotonic([])).toEqual([])
  })
})

describe('limits', () => {
  const learn = () => {
    const clock = { nowMs: 1 }
    const table = createLoadTable(4)
    const limits = new Limits(
      { table, now: () => clock.nowMs },
      { mode: 'gradient', initial: 10, serviceMs: 50 },
    )
    /** Calls that end 20 ms after one another. */
    const end = (calls: number, ms: number, ending: AttemptOutcome = 'ok') => {
      for (let call = 0; call < calls; call++) {
        limits.observe(1, ms, ending)
        clock.nowMs += 20
      }
    }
    return { table, limits, end }
  }

  it('are what the backend declares, and nothing is learnt', () => {
    const { table, limits, end } = learn()
    limits.declare(1, 8)
    table.inflight[1] = 8
    end(200, 10)
    expect(table.limit[1]).toBe(8)
  })

  it('are never above what the pool allows, which is also the limit of those that declare nothing', () => {
    const table = createLoadTable(4)
    const limits = new Limits({ table, now: () => 0 }, { mode: 'declared', most: 64 })
    limits.declare(0, undefined)
    limits.declare(1, 8)
    limits.declare(2, 500)
    expect([...table.limit.subarray(0, 3)]).toEqual([64, 8, 64])
  })

  it('are learnt in windows of a second where nothing was declared', () => {
    const { table, limits, end } = learn()
    limits.declare(1, undefined)
    expect(table.limit[1]).toBe(10)
    table.inflight[1] = 10
    end(500, 10)
    expect(table.limit[1]).toBeGreaterThan(14)
    table.inflight[1] = 20
    end(2_000, 90)
    expect(table.limit[1]).toBeLessThan(10)
  })

  it('stay as they were learnt when a backend says again that it declares none, and start anew for the next at its place', () => {
    const { table, limits, end } = learn()
    limits.declare(1, undefined)
    table.inflight[1] = 10
    end(500, 10)
    const learnt = table.limit[1] ?? 0
    limits.declare(1, undefined)
    expect([learnt > 14, table.limit[1]]).toEqual([true, learnt])
    table.incarnation[1] = 99
    limits.declare(1, undefined)
    expect(table.limit[1]).toBe(10)
  })

  it('learn nothing from failures, nor from a backend on slow start', () => {
    const { table, limits, end } = learn()
    limits.declare(1, undefined)
    table.inflight[1] = 10
    end(200, 10, 'error')
    table.ramp[1] = 0.5
    end(200, 10)
    expect(table.limit[1]).toBe(10)
  })

  it('of a batching backend need to know how long a call may take', () => {
    const context = { table: createLoadTable(1), now: () => 0 }
    expect(() => new Limits(context, { mode: 'curve' })).toThrow('serviceMs')
  })

  it('of a batching backend follow its curve', () => {
    const clock = { nowMs: 1 }
    const table = createLoadTable(1)
    const limits = new Limits({ table, now: () => clock.nowMs }, { mode: 'curve', serviceMs: 30 })
    limits.declare(0, undefined)
    // Latency of 6 ms and 0.9 a call: 26 calls take 30 ms.
    for (let call = 0; call < 60_000; call++) {
      const inflight = 1 + (call % (table.limit[0] ?? 1))
      table.inflight[0] = inflight
      limits.observe(0, 6 + 0.9 * inflight, 'ok')
      clock.nowMs += 5
    }
    expect(table.limit[0]).toBeGreaterThanOrEqual(16)
    expect(table.limit[0]).toBeLessThanOrEqual(32)
  })
})
