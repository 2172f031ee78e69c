import { describe, expect, it } from 'vitest'
import { Costs } from '../../../../../src/data/balance/cost.ts'
import { createPolicy } from '../../../../../src/data/balance/policies/policies.ts'
import { createLoadTable } from '../../../../../src/data/balance/table.ts'
import { decayed, peaked } from '../../../../../src/lib/ewma.ts'
import { benchOf, serve } from '../../../../../src/testing/policy.ts'

const open = (count: number) => benchOf((context) => createPolicy('peak-ewma', context), count)

describe('the peak average', () => {
  it.each([
    [1, 90.5],
    [5, 60.7],
    [10, 36.8],
    [23, 10.0],
    [30, 5.0],
  ])('decays from 100 in %i s to %f with a time constant of ten seconds', (seconds, wanted) => {
    expect(decayed(100, 0, seconds * 1000, 10_000)).toBeCloseTo(wanted, 1)
  })

  it('jumps to a slower sample and creeps to a faster one', () => {
    expect(peaked(10, 80, 5, 10_000)).toBe(80)
    expect(peaked(80, 10, 1_000, 10_000)).toBeCloseTo(80 * 0.905 + 10 * 0.095, 0)
  })

  it('does not move when the clock steps back', () => {
    expect(decayed(100, 0, -5_000, 10_000)).toBe(100)
  })
})

describe('the charge of a backend', () => {
  const charged = () => {
    const clock = { nowMs: 50_000 }
    const table = createLoadTable(8)
    const charges = new Costs({ table, random: Math.random, now: () => clock.nowMs })
    return { clock, charges, prepare: () => charges.prepare(Int32Array.of(0, 1, 2, 3), 4, clock.nowMs) }
  }

  it('fades to the median of the pool, and not to nothing', () => {
    const { clock, charges, prepare } = charged()
    for (const [slot, ms] of [50, 52, 1_000].entries()) charges.onEnd(slot, ms, 'ok')
    prepare()
    clock.nowMs += 10_000
    expect(charges.latencyMs(2, clock.nowMs)).toBeCloseTo(52 + 948 * 0.368, 0)
    clock.nowMs += 200_000
    expect(charges.latencyMs(2, clock.nowMs)).toBeCloseTo(52, 1)
  })

  it('is the median for a backend never seen', () => {
    const { clock, charges, prepare } = charged()
    for (const [slot, ms] of [20, 30, 40].entries()) charges.onEnd(slot, ms, 'ok')
    prepare()
    expect(charges.latencyMs(3, clock.nowMs)).toBe(30)
  })

  it('forgives one slow answer after some tens of good ones, however soon they come', () => {
    const { clock, charges } = charged()
    for (const ms of [20, 400]) charges.onEnd(0, ms, 'ok')
    for (let n = 0; n < 60; n++) {
      clock.nowMs += 5
      charges.onEnd(0, 20, 'ok')
    }
    expect(charges.latencyMs(0, clock.nowMs)).toBeLessThan(40)
  })

  it('takes a cancelled call as a lower bound: it raises and never lowers', () => {
    const { clock, charges } = charged()
    charges.onEnd(0, 50, 'ok')
    charges.onCancel(0, 10, true)
    expect(charges.latencyMs(0, clock.nowMs)).toBe(50)
    charges.onCancel(0, 200, false)
    expect(charges.latencyMs(0, clock.nowMs)).toBe(200)
  })

  it('doubles the bound with every call that is outrun, until a good answer comes', () => {
    const { clock, charges } = charged()
    const seen: number[] = []
    charges.onEnd(0, 20, 'ok')
    charges.prepare(Int32Array.of(0), 1, clock.nowMs)
    const giveUp = (ms: number) => {
      charges.onCancel(0, ms, true)
      seen.push(charges.latencyMs(0, clock.nowMs))
    }
    for (const ms of [10, 40, 40, 40]) giveUp(ms)
    expect(seen).toEqual([20, 40, 80, 160])
    for (let call = 0; call < 10; call++) giveUp(40)
    expect(seen.at(-1)).toBe(40 * 32)
    charges.onEnd(0, 2_000, 'ok')
    giveUp(2_100)
    expect(seen.at(-1)).toBe(2_100)
  })

  it('takes callers who leave together for no proof of slowness', () => {
    const { clock, charges } = charged()
    charges.onEnd(0, 20, 'ok')
    charges.prepare(Int32Array.of(0), 1, clock.nowMs)
    for (let call = 0; call < 10; call++) charges.onCancel(0, 40, false)
    expect(charges.latencyMs(0, clock.nowMs)).toBe(40)
  })

  it('does not take a fast failure for a fast answer', () => {
    const { clock, charges } = charged()
    charges.onEnd(0, 50, 'ok')
    for (let call = 0; call < 100; call++) charges.onEnd(0, 1, 'error')
    expect(charges.costMs(0, clock.nowMs)).toBeGreaterThan(3_000)
  })

  it('does not shut a backend out over one failure in a thousand calls', () => {
    const { clock, charges } = charged()
    for (let call = 0; call < 1_000; call++) {
      clock.nowMs += 5
      charges.onEnd(0, 50, call % 1_000 === 500 ? 'error' : 'ok')
    }
    expect(charges.costMs(0, clock.nowMs)).toBeLessThan(60)
  })

  it('forgives failures in time', () => {
    const { clock, charges } = charged()
    charges.onEnd(0, 50, 'ok')
    for (let call = 0; call < 100; call++) charges.onEnd(0, 1, 'overloaded')
    clock.nowMs += 300_000
    expect(charges.failureMs(0, clock.nowMs)).toBeLessThan(1)
  })
})

describe('peak-ewma', () => {
  it.each([4, 30])('leaves a slow backend of %i alone after its first slow answer', (count) => {
    const bench = open(count)
    const slow = bench.slots[1] ?? 0
    serve(bench, count * 20, (slot) => (slot === slow ? 200 : 10))
    const picks = serve(bench, 1_000, (slot) => (slot === slow ? 200 : 10))
    expect(picks.get(slow) ?? 0).toBeLessThan(10)
  })

  it('prefers an idle backend to a busy one of the same latency', () => {
    const bench = open(4)
    serve(bench, 40)
    for (const slot of bench.slots) bench.table.inflight[slot] = 2
    const idle = bench.slots[3] ?? 0
    bench.table.inflight[idle] = 0
    for (let call = 0; call < 20; call++) expect(bench.policy.pick(bench.slots, 4, undefined)).toBe(idle)
  })

  it('prefers a busy fast backend to an idle one ten times slower', () => {
    const bench = open(2)
    const fast = bench.slots[0] ?? 0
    serve(bench, 40, (slot) => (slot === fast ? 10 : 100))
    bench.table.inflight[fast] = 5
    expect(bench.policy.pick(bench.slots, 2, undefined)).toBe(fast)
  })

  it('follows the weights of an idle pool', () => {
    const bench = open(3)
    const heavy = bench.slots[0] ?? 0
    bench.table.share[heavy] = bench.table.weight[heavy] = 3
    expect((serve(bench, 5_000).get(heavy) ?? 0) / 5_000).toBeCloseTo(0.6, 1)
  })
})
