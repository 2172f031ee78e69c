import { describe, expect, it } from 'vitest'
import { createPolicy, type PolicyName } from '../../../../../src/data/balance/policies/policies.ts'
import { benchOf, serve } from '../../../../../src/testing/policy.ts'

const open = (name: PolicyName, count: number, seed?: number) =>
  benchOf((context) => createPolicy(name, context), count, seed)

describe('policies that count calls', () => {
  it.each(['p2c', 'least-request'] as const)('%s prefers the backend with fewer calls running', (name) => {
    const { table, policy, slots } = open(name, 4)
    for (const [at, running] of [3, 1, 2, 4].entries()) table.inflight[slots[at] ?? 0] = running
    for (let call = 0; call < 50; call++) expect(policy.pick(slots, 4, undefined)).toBe(slots[1])
  })

  it('p2c of a large pool never takes the busier of its two', () => {
    const { table, policy, slots } = open('p2c', 30)
    const busiest = slots[11] ?? 0
    table.inflight[busiest] = 1
    for (let call = 0; call < 2_000; call++) expect(policy.pick(slots, 30, undefined)).not.toBe(busiest)
  })

  // With sampling, the odd one out is in 2 of n pairs; a full scan finds it each time.
  it.each([
    ['p2c', 10, 0.2],
    ['least-request', 10, 1],
    ['p2c', 4, 1],
  ] as const)('%s gives the only idle one of %i a share of %f', (name, count, wanted) => {
    const { table, policy, slots } = open(name, count)
    for (const slot of slots) table.inflight[slot] = 5
    const idle = slots[2] ?? 0
    table.inflight[idle] = 0
    let hits = 0
    for (let call = 0; call < 5_000; call++) if (policy.pick(slots, count, undefined) === idle) hits++
    expect(hits / 5_000).toBeCloseTo(wanted, 1)
  })

  it.each(['p2c', 'least-request', 'round-robin'] as const)(
    '%s follows the weights of an idle pool',
    (name) => {
      const bench = open(name, 3)
      bench.table.share.set([3], bench.slots[0])
      bench.table.weight.set([3], bench.slots[0])
      const picks = serve(bench, 5_000)
      expect((picks.get(bench.slots[0] ?? 0) ?? 0) / 5_000).toBeCloseTo(0.6, 1)
    },
  )

  it('p2c finds the few heavy backends of a skewed large pool', () => {
    const bench = open('p2c', 40)
    for (const slot of bench.slots.slice(0, 4)) bench.table.weight[slot] = bench.table.share[slot] = 20
    bench.policy.members?.(bench.slots, [])
    const picks = serve(bench, 6_000)
    const heavy = [...bench.slots.slice(0, 4)].reduce((sum, slot) => sum + (picks.get(slot) ?? 0), 0)
    expect(heavy / 6_000).toBeGreaterThan(0.6)
    expect(heavy / 6_000).toBeLessThan(0.8)
  })

  // Weight over calls and one: 1/2, 1/3, 1/5, 1/10 of the weight is left.
  it.each([1, 2, 4, 9])(
    'least-request takes %i calls at that and one times the weight for as good as none',
    (calls) => {
      const bench = open('least-request', 2)
      const [one = 0, other = 0] = bench.slots
      bench.table.inflight.set([1], one)
      bench.table.share[one] = 1
      bench.table.inflight.set([calls], other)
      bench.table.share[other] = (calls + 1) / 2
      const picks = new Set(Array.from({ length: 60 }, () => bench.policy.pick(bench.slots, 2, undefined)))
      expect(picks.size).toBe(2)
      bench.table.share[other] = (calls + 1) / 2 - 0.01
      expect(bench.policy.pick(bench.slots, 2, undefined)).toBe(one)
    },
  )

  it('counts the calls other gateways have running', () => {
    const { table, policy, slots } = open('p2c', 2)
    table.peers[slots[0] ?? 0] = 3
    for (let call = 0; call < 50; call++) expect(policy.pick(slots, 2, undefined)).toBe(slots[1])
  })
})

describe('round robin', () => {
  it('gives every backend its turn before any has two', () => {
    const bench = open('round-robin', 7)
    for (let lap = 0; lap < 5; lap++) expect(serve(bench, 7).size).toBe(7)
  })

  it('serves a backend of a tenth of the weight every tenth lap', () => {
    const bench = open('round-robin', 3)
    bench.table.share[bench.slots[2] ?? 0] = 0.1
    expect(serve(bench, 2_100).get(bench.slots[2] ?? 0)).toBeCloseTo(100, -1)
  })

  it('comes to an end when no backend has a share', () => {
    const bench = open('round-robin', 3)
    for (const slot of bench.slots) bench.table.share[slot] = 0
    expect(bench.slots).toContain(bench.policy.pick(bench.slots, 3, undefined))
  })
})
