import { describe, expect, it } from 'vitest'
import { Ramps, slowStart } from '../../../../src/data/balance/slow-start.ts'
import { createLoadTable } from '../../../../src/data/balance/table.ts'

describe('slow start over a minute', () => {
  it.each([
    [1, [0.1, 0.1, 0.129]],
    [6, [0.1, 0.215, 0.316]],
    [15, [0.25, 0.397, 0.5]],
    [30, [0.5, 0.63, Math.SQRT1_2]],
    [45, [0.75, 0.825, 0.866]],
    [60, [1, 1, 1]],
  ])('after %i s allows %j of the weight at aggression 1, 1.5 and 2', (seconds, wanted) => {
    for (const [at, aggression] of [1, 1.5, 2].entries()) {
      expect(slowStart(seconds * 1000, { windowMs: 60_000, aggression })).toBeCloseTo(wanted[at] ?? 0, 2)
    }
  })

  it('is off with a window of 0', () => {
    expect(slowStart(0, { windowMs: 0 })).toBe(1)
  })
})

describe('the shares of a pool', () => {
  const slots = Int32Array.of(0, 1, 2, 3)
  const pool = (limit: number) => {
    const table = createLoadTable(4)
    table.limit.fill(limit)
    return { table, ramps: new Ramps(table, { windowMs: 60_000 }) }
  }

  it('give a new backend a part of its weight, times what outlier detection leaves', () => {
    const { table, ramps } = pool(0)
    table.readyAt[2] = 0
    table.weight[2] = 4
    table.handicap[1] = 0.2
    ramps.refresh(slots, 15_000)
    expect([...table.share]).toEqual([1, 0.2, 1, 1])
    expect([ramps.count, ramps.rampingAt(0)]).toEqual([1, 2])
  })

  it('are whole when all backends are new', () => {
    const { table, ramps } = pool(0)
    table.readyAt.fill(0)
    ramps.refresh(slots, 5_000)
    expect([...table.share]).toEqual([1, 1, 1, 1])
    expect(ramps.count).toBe(0)
  })

  it('rise when the others would be flooded in the meantime', () => {
    const { table, ramps } = pool(10)
    table.readyAt[3] = 0
    table.inflight.set([9, 9, 10, 0])
    ramps.refresh(slots, 6_000)
    // 28 calls where 31 are allowed is more than nine tenths: the new one takes its part of 28 in 40.
    expect(table.share[3]).toBeCloseTo(0.7, 5)
    table.inflight.set([5, 5, 5, 0])
    ramps.refresh(slots, 6_000)
    expect(table.share[3]).toBeCloseTo(0.1, 5)
  })

  it('count waiting calls as demand', () => {
    const { table, ramps } = pool(10)
    table.readyAt[3] = 0
    table.inflight.set([5, 5, 5, 0])
    ramps.refresh(slots, 6_000, 25)
    expect(table.share[3]).toBe(1)
  })
})
