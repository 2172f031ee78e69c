import { describe, expect, it } from 'vitest'
import { boundedCap } from '../../../../../src/data/balance/policies/bounded.ts'
import { fillMaglev } from '../../../../../src/data/balance/policies/maglev.ts'
import { createPolicy } from '../../../../../src/data/balance/policies/policies.ts'
import { benchOf, keyOf, type PolicyBench } from '../../../../../src/testing/policy.ts'

const KEYS = 4_000
const open = (name: 'rendezvous' | 'maglev', count: number) =>
  benchOf((context) => createPolicy(name, context), count)
const placement = ({ policy }: PolicyBench, slots: Int32Array) =>
  Array.from({ length: KEYS }, (_, key) => policy.pick(slots, slots.length, keyOf(key)))

describe('the bound on a backend’s load', () => {
  it.each([
    [1.25, 4, 0, 1],
    [1.25, 4, 7, 3],
    [1.25, 10, 100, 13],
    [1.5, 10, 100, 16],
  ])('with factor %f, %i backends and %i calls is %i', (factor, backends, total, wanted) => {
    expect(boundedCap(factor, 1 / backends, total)).toBe(wanted)
  })

  it('refuses a factor that could leave a call without a place', () => {
    expect(() => createPolicy('maglev', benchContext(), { boundedLoad: 0.9 })).toThrow('at least 1')
  })
})

describe.each(['rendezvous', 'maglev'] as const)('%s', (name) => {
  it('sends a key to the same backend each time', () => {
    const bench = open(name, 10)
    expect(placement(bench, bench.slots)).toEqual(placement(bench, bench.slots))
  })

  it('gives every gateway the same order, whatever its seed and slots', () => {
    const one = benchOf((context) => createPolicy(name, context), 6, 1)
    const other = benchOf((context) => createPolicy(name, context), 6, 99)
    expect(placement(one, one.slots)).toEqual(placement(other, other.slots))
  })

  it('spreads the keys evenly', () => {
    const bench = open(name, 10)
    const counts = new Map<number, number>()
    for (const slot of placement(bench, bench.slots)) counts.set(slot, (counts.get(slot) ?? 0) + 1)
    for (const count of counts.values()) expect(Math.abs(count - KEYS / 10)).toBeLessThan(KEYS / 10 / 3)
  })

  it('moves only the keys of a backend that is gone', () => {
    const bench = open(name, 10)
    const before = placement(bench, bench.slots)
    const gone = bench.slots[4]
    const after = placement(
      bench,
      bench.slots.filter((slot) => slot !== gone),
    )
    for (const [key, slot] of before.entries()) if (slot !== gone) expect(after[key]).toBe(slot)
    // And spreads them: nobody inherits more than a third.
    const heirs = new Map<number, number>()
    for (const [key, slot] of before.entries()) {
      if (slot === gone) heirs.set(after[key] ?? 0, (heirs.get(after[key] ?? 0) ?? 0) + 1)
    }
    const orphans = [...heirs.values()].reduce((sum, count) => sum + count, 0)
    expect(Math.max(...heirs.values()) / orphans).toBeLessThan(1 / 3)
  })

  it('gives a backend of three times the weight three times the keys', () => {
    const bench = open(name, 4)
    const heavy = bench.slots[2] ?? 0
    bench.table.weight[heavy] = bench.table.share[heavy] = 3
    bench.policy.members?.(
      bench.slots,
      Array.from(bench.slots, (slot) => `backend-${slot}`),
    )
    const hits = placement(bench, bench.slots).filter((slot) => slot === heavy).length
    expect(hits / KEYS).toBeCloseTo(0.5, 1)
  })

  it('overflows a hot key to others, and keeps every load within the bound', () => {
    const bench = open(name, 8)
    for (let call = 0; call < 400; call++) {
      const slot = bench.policy.pick(bench.slots, 8, keyOf(1))
      bench.table.inflight[slot] = (bench.table.inflight[slot] ?? 0) + 1
    }
    const loads = Array.from(bench.slots, (slot) => bench.table.inflight[slot] ?? 0)
    expect(Math.max(...loads)).toBeLessThanOrEqual(Math.ceil((1.25 * 400) / 8))
  })

  it('keeps affinity while there are few calls', () => {
    const bench = open(name, 8)
    const home = bench.policy.pick(bench.slots, 8, keyOf(1))
    bench.table.inflight[home] = 3
    expect(bench.policy.pick(bench.slots, 8, keyOf(1))).toBe(home)
  })

  it('takes a call without a key to the least loaded', () => {
    const bench = open(name, 4)
    for (const slot of bench.slots) bench.table.inflight[slot] = 5
    bench.table.inflight[bench.slots[3] ?? 0] = 1
    expect(bench.policy.pick(bench.slots, 4, undefined)).toBe(bench.slots[3])
  })
})

describe('the table of maglev', () => {
  it('gives equal backends places that differ by less than two percent', () => {
    const slots = Int32Array.from({ length: 20 }, (_, at) => at)
    const places = fillMaglev(
      slots,
      Array.from(slots, (slot) => `b${slot}`),
      new Float64Array(20).fill(1),
    )
    const counts = new Map<number, number>()
    for (const slot of places) counts.set(slot, (counts.get(slot) ?? 0) + 1)
    expect(Math.max(...counts.values()) / Math.min(...counts.values())).toBeLessThan(1.02)
  })

  it('moves few places of others when one backend leaves', () => {
    const slots = Int32Array.from({ length: 20 }, (_, at) => at)
    const weights = new Float64Array(20).fill(1)
    const name = (slot: number) => `b${slot}`
    const before = fillMaglev(slots, Array.from(slots, name), weights)
    const fewer = slots.filter((slot) => slot !== 7)
    const after = fillMaglev(fewer, Array.from(fewer, name), weights)
    const moved = before.filter((slot, place) => slot !== 7 && after[place] !== slot).length
    expect(moved / before.length).toBeLessThan(0.05)
  })
})

function benchContext() {
  return { table: open('maglev', 2).table, random: Math.random, now: () => 0 }
}
