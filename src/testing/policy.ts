/** What every balancing policy promises, ours or a third party's; run over each by `policyContract`. */
import { describe, expect, it } from 'vitest'
import { digestOf } from '../core/key.ts'
import type { AttemptOutcome, Policy, PolicyContext } from '../data/balance/policies/policy.ts'
import { beginCall, createLoadTable, endCall, type LoadTable, tableForWorker } from '../data/balance/table.ts'
import { createRandom } from '../lib/seeded-random.ts'

export type OpenPolicy = (context: PolicyContext) => Policy

export interface PolicyBench {
  readonly table: LoadTable
  readonly policy: Policy
  readonly slots: Int32Array
  clock: { nowMs: number }
}

/** A policy over `count` equal backends at every third slot, with a seeded lot and a clock in hand. */
export function benchOf(open: OpenPolicy, count: number, seed = 1): PolicyBench {
  const table = createLoadTable(Math.max(64, count * 3 + 1))
  const clock = { nowMs: 1_000_000 }
  const policy = open({ table, random: createRandom(seed), now: () => clock.nowMs })
  const slots = Int32Array.from({ length: count }, (_, at) => at * 3 + 1)
  policy.members?.(
    slots,
    Array.from(slots, (slot) => `backend-${slot}`),
  )
  return { table, policy, slots, clock }
}

export const keyOf = (number: number) => digestOf(`call ${number}`)

/** Sends `calls` calls one after the other, each over before the next begins; counts them by slot. */
export function serve(
  bench: PolicyBench,
  calls: number,
  latencyMs: (slot: number) => number = () => 10,
): Map<number, number> {
  const picks = new Map<number, number>()
  for (let call = 0; call < calls; call++) {
    const slot = bench.policy.pick(bench.slots, bench.slots.length, keyOf(call))
    picks.set(slot, (picks.get(slot) ?? 0) + 1)
    const incarnation = beginCall(bench.table, slot)
    bench.policy.onStart?.(slot)
    bench.clock.nowMs += latencyMs(slot)
    endCall(bench.table, slot, incarnation)
    bench.policy.onEnd?.(slot, latencyMs(slot), 'ok')
  }
  return picks
}

export function policyContract(name: string, open: OpenPolicy): void {
  describe(`${name} keeps the policy contract`, () => {
    it.each([1, 2, 3, 8, 9, 40])('picks one of the candidates and nothing else, of %i', (count) => {
      const bench = benchOf(open, count)
      for (const slot of serve(bench, 500).keys()) expect(bench.slots).toContain(slot)
    })

    it('looks at no place beyond the count, whatever stands there', () => {
      const { policy, slots } = benchOf(open, 20)
      for (let call = 0; call < 400; call++) {
        const count = 1 + (call % 19)
        expect(slots.indexOf(policy.pick(slots, count, keyOf(call)))).toBeLessThan(count)
      }
    })

    it('picks among candidates that come and go, without being told', () => {
      const { policy, slots } = benchOf(open, 12)
      for (let call = 0; call < 600; call++) {
        const some = slots.filter((slot) => (slot + call) % 4 !== 0)
        expect(some).toContain(policy.pick(some, some.length, keyOf(call)))
      }
    })

    it.each([2, 5, 20])('leaves none of %i equal backends without calls', (count) => {
      expect(serve(benchOf(open, count), count * 60).size).toBe(count)
    })

    it('picks without a key', () => {
      const { policy, slots } = benchOf(open, 4)
      for (let call = 0; call < 50; call++) expect(slots).toContain(policy.pick(slots, 4, undefined))
    })

    it('picks the same from the same seed', () => {
      const [one, other] = [benchOf(open, 10, 7), benchOf(open, 10, 7)]
      for (let call = 0; call < 200; call++) {
        expect(one.policy.pick(one.slots, 10, keyOf(call))).toBe(
          other.policy.pick(other.slots, 10, keyOf(call)),
        )
      }
    })

    it('keeps picking whatever the endings', () => {
      const bench = benchOf(open, 5)
      const endings: readonly AttemptOutcome[] = ['ok', 'error', 'timeout', 'overloaded']
      for (let call = 0; call < 800; call++) {
        const slot = bench.policy.pick(bench.slots, 5, keyOf(call))
        expect(bench.slots).toContain(slot)
        bench.policy.onStart?.(slot)
        bench.clock.nowMs += 5
        if (call % 7 === 0) bench.policy.onCancel?.(slot, 5, call % 2 === 0)
        else bench.policy.onEnd?.(slot, 5, endings[call % 4] ?? 'ok')
        if (call % 50 === 0) bench.policy.forget?.(slot)
      }
    })

    it('stands still clocks and clocks that step back', () => {
      const bench = benchOf(open, 4)
      for (const step of [0, -5_000, 1e9, -1e9, 0]) {
        bench.clock.nowMs += step
        expect(serve(bench, 50, () => 0).size).toBeGreaterThan(0)
      }
    })

    it('survives a table row of another worker', () => {
      const shared = createLoadTable(16, 3)
      const policy = open({ table: tableForWorker(shared, 2), random: createRandom(3), now: () => 0 })
      const slots = Int32Array.of(2, 5, 9)
      policy.members?.(slots, ['a', 'b', 'c'])
      for (let call = 0; call < 100; call++) expect(slots).toContain(policy.pick(slots, 3, keyOf(call)))
    })
  })
}
