import { describe, expect, it } from 'vitest'
import { prequal } from '../../../../../src/data/balance/policies/prequal.ts'
import { LatestRunning, ProbePool, reuseBudget } from '../../../../../src/data/balance/policies/probe-pool.ts'
import type { ProbeSink } from '../../../../../src/data/balance/policies/probe-scheduler.ts'
import { createLoadTable } from '../../../../../src/data/balance/table.ts'
import { createRandom } from '../../../../../src/lib/seeded-random.ts'
import { benchOf, serve } from '../../../../../src/testing/policy.ts'

describe('the reuse budget of a probe', () => {
  it.each([
    [16, 100, 1.316],
    [16, 50, 1.923],
    [16, 32, 4.0],
    [8, 20, 2.5],
    [4, 10, 2.5],
  ])('of a pool of %i among %i backends is %f', (size, backends, wanted) => {
    expect(reuseBudget(size, backends, { probes: 3, removals: 1 })).toBeCloseTo(wanted, 3)
  })

  it('is undefined where probes cannot replace what is removed', () => {
    expect(reuseBudget(16, 24, { probes: 3, removals: 1 })).toBeUndefined()
  })
})

describe('the probe pool', () => {
  const filled = () => {
    const pool = new ProbePool({ size: 3, maxAgeMs: 1_000 })
    for (const [at, [running, latency]] of [
      [1, 30],
      [9, 10],
      [2, 20],
    ].entries()) {
      pool.add(at + 10, at * 100, 2)
      pool.value(running ?? 0, latency ?? 0)
    }
    return pool
  }
  const held = (pool: ProbePool) =>
    Array.from({ length: pool.held }, (_, place) => pool.slotAt(place)).sort((a, b) => a - b)

  it('lets the oldest go for a new one', () => {
    const pool = filled()
    pool.add(20, 500, 2)
    expect(held(pool)).toEqual([11, 12, 20])
  })

  it('drops readings by age and by use', () => {
    const pool = filled()
    for (let uses = 0; uses < 2; uses++) pool.use(2)
    pool.expire(1_050)
    expect(held(pool)).toEqual([11])
  })

  it('counts its own calls into a reading', () => {
    const pool = filled()
    pool.use(0)
    expect(pool.runningAt(0)).toBe(2)
  })

  it('removes the oldest and the worst by turns: hot by calls running, cold by latency', () => {
    const hot = filled()
    hot.degrade(5)
    hot.degrade(5)
    expect(held(hot)).toEqual([12])
    const cold = filled()
    cold.degrade(50)
    cold.degrade(50)
    expect(held(cold)).toEqual([11])
  })

  it('takes the quantile over the latest reading of each backend, each once', () => {
    const latest = new LatestRunning(8)
    for (const [slot, running] of [
      [0, 1],
      [1, 2],
      [2, 3],
      [3, 9],
      [3, 4],
    ] as const)
      latest.set(slot, running)
    expect(latest.quantile(0.75)).toBe(3)
    expect(latest.quantile(1)).toBe(4)
    latest.remove(3)
    expect(latest.quantile(1)).toBe(3)
  })
})

describe('prequal', () => {
  it.each([4, 12, 60])('of %i sends little to a backend twenty times slower', (count) => {
    const bench = benchOf(prequal, count)
    const slow = bench.slots[1] ?? 0
    const latency = (slot: number) => (slot === slow ? 200 : 10)
    serve(bench, count * 20, latency)
    expect(serve(bench, 2_000, latency).get(slow) ?? 0).toBeLessThan(40)
  })

  it('leaves the fastest alone once it is hot', () => {
    const bench = benchOf(prequal, 4)
    const fast = bench.slots[0] ?? 0
    serve(bench, 100, (slot) => (slot === fast ? 5 : 10))
    bench.table.inflight[fast] = 3
    for (let call = 0; call < 20; call++) expect(bench.policy.pick(bench.slots, 4, undefined)).not.toBe(fast)
  })

  it('takes the least busy when the others are hot', () => {
    const bench = benchOf(prequal, 3)
    for (const [at, running] of [9, 4, 30].entries()) bench.table.inflight[bench.slots[at] ?? 0] = running
    const two = Int32Array.of(bench.slots[0] ?? 0, bench.slots[2] ?? 0)
    expect(bench.policy.pick(two, 2, undefined)).toBe(bench.slots[0])
  })

  it('believes a backend that says it is busy, and its own count once that is old', () => {
    const bench = benchOf(prequal, 3)
    const policy = bench.policy as typeof bench.policy & ProbeSink
    const busy = bench.slots[1] ?? 0
    policy.answered(busy, 40, 1)
    for (let call = 0; call < 30; call++) expect(policy.pick(bench.slots, 3, undefined)).not.toBe(busy)
    bench.clock.nowMs += 1_001
    const picks = serve(bench, 60)
    expect(picks.get(busy)).toBeGreaterThan(5)
  })

  it('asks each backend of a small pool four times a second, and only while there is traffic', () => {
    const asked = new Map<number, number>()
    const clock = { nowMs: 10_000 }
    const policy = prequal(
      { table: createLoadTable(8), random: createRandom(1), now: () => clock.nowMs },
      { prober: { probe: (slot) => void asked.set(slot, (asked.get(slot) ?? 0) + 1) } },
    )
    for (let call = 0; call < 200; call++) {
      clock.nowMs += 5
      policy.pick(Int32Array.of(1, 2, 3), 3, undefined)
    }
    expect([...asked.values()]).toEqual([4, 4, 4])
  })

  it('keeps its probes under the rate it was given', () => {
    let asked = 0
    const clock = { nowMs: 0 }
    const policy = prequal(
      { table: createLoadTable(128), random: createRandom(1), now: () => clock.nowMs },
      { prober: { probe: () => void asked++ }, maxProbesPerSecond: 50 },
    )
    const slots = Int32Array.from({ length: 100 }, (_, slot) => slot)
    policy.members?.(slots, [])
    for (let call = 0; call < 2_000; call++) {
      clock.nowMs += 1
      policy.pick(slots, 100, undefined)
    }
    expect(asked).toBeLessThanOrEqual(50 + 100)
  })

  it('routes by what probes answer in a large pool', () => {
    const clock = { nowMs: 0 }
    const best = 17
    const policy = prequal(
      { table: createLoadTable(128), random: createRandom(1), now: () => clock.nowMs },
      { prober: { probe: (slot, sink) => sink.answered(slot, 1, slot === best ? 2 : 50) } },
    )
    const slots = Int32Array.from({ length: 100 }, (_, slot) => slot)
    policy.members?.(slots, [])
    let hits = 0
    for (let call = 0; call < 3_000; call++) {
      clock.nowMs += 1
      if (policy.pick(slots, 100, undefined) === best) hits++
    }
    // By lot it would be one in a hundred.
    expect(hits / 3_000).toBeGreaterThan(0.018)
  })
})
