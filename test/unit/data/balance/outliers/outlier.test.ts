import { describe, expect, it } from 'vitest'
import { type OutlierOptions, Outliers } from '../../../../../src/data/balance/outliers/outlier.ts'
import {
  isBelowOthers,
  mostEjected,
  spreadThreshold,
} from '../../../../../src/data/balance/outliers/outlier-rules.ts'
import { createOutlierState } from '../../../../../src/data/balance/outliers/outlier-state.ts'
import type { AttemptOutcome } from '../../../../../src/data/balance/policies/policy.ts'
import { createLoadTable } from '../../../../../src/data/balance/table.ts'
import { createRandom } from '../../../../../src/lib/seeded-random.ts'

function pool(members: number, options: OutlierOptions = {}) {
  const clock = { nowMs: 100_000 }
  const table = createLoadTable(16)
  const context = { table, state: createOutlierState(16), random: createRandom(5), now: () => clock.nowMs }
  const outliers = new Outliers(context, options)
  const slots = Int32Array.from({ length: members }, (_, slot) => slot)
  outliers.members(slots)
  const calls = (slot: number, count: number, ending: AttemptOutcome = 'ok', ms = 10) => {
    for (let call = 0; call < count; call++) outliers.observe(slot, ms, ending)
  }
  /** Lets time pass in seconds, each with `during` and a tick. */
  const pass = (seconds: number, during: () => void = () => {}) => {
    for (let second = 0; second < seconds; second++) {
      clock.nowMs += 1_000
      during()
      outliers.tick(clock.nowMs)
    }
  }
  const routable = () => [...slots].filter((slot) => outliers.isRoutable(slot))
  return { table, outliers, calls, pass, routable, clock, context }
}

describe('the rules of outlier detection', () => {
  it.each([
    [[100, 100, 99, 98, 60], 61.54],
    [[100, 100, 100, 100, 100, 100, 100, 100, 100, 60], 73.2],
  ])('put the threshold of %j at %f', (rates, wanted) => {
    expect(spreadThreshold(rates.map((rate) => rate / 100)) * 100).toBeCloseTo(wanted, 1)
  })

  it.each([
    [3, Math.SQRT2],
    [4, 1.732],
    [5, 2],
    [10, 3],
  ])('know that one outlier of %i lies at most %f deviations away', (count, wanted) => {
    const rates = [...Array<number>(count - 1).fill(1), 0]
    const mean = (count - 1) / count
    const deviation = (mean - spreadThreshold(rates)) / 1.9
    expect(mean / deviation).toBeCloseTo(wanted, 2)
  })

  it('find no outlier where all are nearly equal', () => {
    expect(spreadThreshold([1, 1, 1, 1, 1, 1, 1, 1, 1, 0.99])).toBeLessThan(0.99)
  })

  it.each([
    ['well below the others', { good: 30, calls: 50 }, true],
    ['within chance', { good: 45, calls: 50 }, false],
    ['too few calls', { good: 0, calls: 19 }, false],
  ])('leave one out: %s', (_, own, wanted) => {
    expect(isBelowOthers(own, { good: 49, calls: 50 })).toBe(wanted)
  })

  it.each([
    [1, 10, 1],
    [4, 10, 1],
    [19, 10, 1],
    [20, 10, 2],
    [10, 50, 5],
  ])('eject at most, of %i at %i percent, %i', (members, percent, wanted) => {
    expect(mostEjected(members, percent)).toBe(wanted)
  })
})

describe('outlier detection', () => {
  it('ejects after five failures in a row, at once', () => {
    const { calls, routable } = pool(4)
    calls(1, 4, 'error')
    expect(routable()).toEqual([0, 1, 2, 3])
    calls(1, 1, 'error')
    expect(routable()).toEqual([0, 2, 3])
  })

  it('says why a backend was ejected, and how often', () => {
    const { calls, pass, outliers, context } = pool(4, { baseEjectionMs: 1_000, maxPercent: 50 })
    calls(1, 5, 'error')
    expect(outliers.ejectionReason(1)).toBe('failed several times in a row')
    pass(3)
    expect(outliers.isHalfOpen(1)).toBe(true)
    outliers.admit(1)
    calls(1, 1, 'error')
    expect(outliers.ejectionReason(1)).toBe('failed again on trial')
    expect(context.state.ejected[1]).toBe(2)
    outliers.forget(1)
    expect(context.state.ejected[1]).toBe(0)
  })

  it('starts counting again after a success', () => {
    const { calls, routable } = pool(4)
    calls(1, 4, 'timeout')
    calls(1, 1)
    calls(1, 4, 'timeout')
    expect(routable()).toHaveLength(4)
  })

  it('does not count a backend that says it is full as failing in a row, but as failing', () => {
    const { calls, pass, routable } = pool(4)
    for (let slot = 0; slot < 4; slot++) calls(slot, 40)
    calls(1, 60, 'overloaded')
    expect(routable()).toHaveLength(4)
    pass(1)
    expect(routable()).toEqual([0, 2, 3])
  })

  it('finds the worse one of two', () => {
    const { calls, pass, routable } = pool(2)
    calls(0, 100)
    for (let call = 0; call < 25; call++) {
      calls(1, 3)
      calls(1, 1, 'error')
    }
    pass(1)
    expect(routable()).toEqual([0])
  })

  it('never ejects the last one, nor a single one', () => {
    const two = pool(2, { maxPercent: 100 })
    two.calls(0, 5, 'error')
    two.calls(1, 50, 'error')
    two.pass(3, () => two.calls(1, 50, 'error'))
    expect(two.routable().length).toBeGreaterThanOrEqual(1)
    const one = pool(1)
    one.calls(0, 100, 'error')
    one.pass(3)
    expect(one.routable()).toEqual([0])
  })

  it('counts the candidate in before it ejects: of three at half, one', () => {
    const { calls, pass, routable } = pool(3, { maxPercent: 50 })
    for (let slot = 0; slot < 3; slot++) calls(slot, 20)
    calls(0, 5, 'error')
    calls(1, 5, 'error')
    pass(1)
    expect(routable()).toHaveLength(2)
  })

  it('ejects nobody while all fail', () => {
    const { calls, pass, routable, outliers } = pool(4, { maxPercent: 100 })
    pass(7, () => {
      for (let slot = 0; slot < 4; slot++)
        for (let call = 0; call < 10; call++) calls(slot, 1, call % 3 ? 'error' : 'ok')
    })
    expect(outliers.isPoolFailing).toBe(true)
    pass(3, () => {
      for (let slot = 0; slot < 4; slot++) calls(slot, 10, 'error')
    })
    expect(routable().length).toBeGreaterThanOrEqual(3)
  })

  it('is not fooled by one backend that fails fast and draws nearly all calls', () => {
    const { calls, routable, outliers, clock } = pool(4)
    for (let slot = 1; slot < 4; slot++) calls(slot, 3)
    calls(0, 500, 'error')
    outliers.tick(clock.nowMs)
    expect(outliers.isPoolFailing).toBe(false)
    expect(routable()).toEqual([1, 2, 3])
  })

  it('ejects for longer each time, within the jitter and the maximum', () => {
    const { calls, pass, outliers, clock } = pool(4, { baseEjectionMs: 30_000, maxEjectionMs: 70_000 })
    const lasts: number[] = []
    for (let round = 0; round < 3; round++) {
      calls(1, 5, 'error')
      lasts.push((outliers.ejectedUntil(1) ?? 0) - clock.nowMs)
      while (!outliers.isHalfOpen(1)) pass(1)
      for (let trial = 0; trial < 3; trial++) {
        outliers.admit(1)
        calls(1, 1)
      }
    }
    for (const [round, base] of [30_000, 60_000, 70_000].entries()) {
      expect(Math.abs((lasts[round] ?? 0) / base - 1)).toBeLessThanOrEqual(0.1)
    }
  })

  it('tries an ejected backend with one call, then two, and takes it back after three good ones', () => {
    const { table, calls, pass, outliers, routable, clock } = pool(4)
    calls(1, 5, 'error')
    pass(35)
    expect([outliers.isHalfOpen(1), routable().length]).toEqual([true, 3])
    expect([outliers.admit(1), outliers.admit(1)]).toEqual([true, false])
    calls(1, 1)
    expect([outliers.admit(1), outliers.admit(1), outliers.admit(1)]).toEqual([true, true, false])
    calls(1, 2)
    expect(routable()).toHaveLength(4)
    expect(table.readyAt[1]).toBe(clock.nowMs)
  })

  it('ejects again when the trial fails', () => {
    const { calls, pass, outliers } = pool(4)
    calls(1, 5, 'error')
    pass(35)
    outliers.admit(1)
    calls(1, 1, 'error')
    expect(outliers.ejectedUntil(1)).toBeDefined()
  })

  it('lets another trial through when the last one was called off, or lost', () => {
    const { calls, pass, outliers } = pool(4)
    calls(1, 5, 'error')
    pass(35)
    outliers.admit(1)
    outliers.release(1)
    expect(outliers.admit(1)).toBe(true)
    expect(outliers.admit(1)).toBe(false)
    pass(32)
    expect(outliers.admit(1)).toBe(true)
  })

  it('takes weight from a slow backend first and its place second', () => {
    const { table, calls, pass, routable } = pool(4)
    const traffic = () => {
      for (let slot = 0; slot < 3; slot++) calls(slot, 20)
      calls(3, 20, 'ok', 100)
    }
    pass(41, traffic)
    expect(table.handicap[3]).toBe(0.2)
    expect(routable()).toHaveLength(4)
    pass(40, traffic)
    expect(routable()).toEqual([0, 1, 2])
  })

  it('gives the weight back to a backend that is slow no longer', () => {
    const { table, calls, pass } = pool(4)
    const traffic = (ms: number) => () => {
      for (let slot = 0; slot < 3; slot++) calls(slot, 20)
      calls(3, 20, 'ok', ms)
    }
    pass(41, traffic(100))
    pass(20, traffic(10))
    expect(table.handicap[3]).toBe(1)
  })

  it('forgets a backend whose slot has passed to another', () => {
    const { calls, outliers, routable } = pool(4)
    calls(1, 5, 'error')
    outliers.forget(1)
    expect(routable()).toHaveLength(4)
  })

  it('judges the calls of all workers together, once', () => {
    const { calls, context, clock } = pool(4)
    const second = new Outliers(context)
    second.members(Int32Array.of(0, 1, 2, 3))
    calls(1, 3, 'error')
    for (let call = 0; call < 2; call++) second.observe(1, 10, 'error')
    expect(second.isRoutable(1)).toBe(false)
    second.tick(clock.nowMs)
    expect(second.version).toBeGreaterThan(0)
  })

  it('judges each pool that shares the state, in the same second', () => {
    const { calls, outliers, context, clock, pass } = pool(4)
    const other = new Outliers(context)
    other.members(Int32Array.of(8, 9, 10))
    for (const slot of [0, 2, 3]) calls(slot, 40)
    calls(1, 60, 'overloaded')
    for (const slot of [8, 10]) for (let call = 0; call < 40; call++) other.observe(slot, 10, 'ok')
    for (let call = 0; call < 60; call++) other.observe(9, 10, 'overloaded')
    pass(1)
    other.tick(clock.nowMs)
    expect([outliers.isRoutable(1), other.isRoutable(9)]).toEqual([false, false])
  })
})
