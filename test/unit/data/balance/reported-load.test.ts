import { describe, expect, it } from 'vitest'
import { createPolicy, type PolicyName } from '../../../../src/data/balance/policies/policies.ts'
import { expireReports, reportLoad, reportOf } from '../../../../src/data/balance/reported-load.ts'
import { claimSlot, loadOf, outstandingOf } from '../../../../src/data/balance/table.ts'
import { benchOf } from '../../../../src/testing/policy.ts'

const bench = (name: PolicyName = 'p2c', count = 3) =>
  benchOf((context) => createPolicy(name, context), count)

describe('the load that a backend reports', () => {
  it('adds the calls that are not known here', () => {
    const { table } = bench()
    table.inflight[1] = 3
    reportLoad(table.reports, 1, { running: 4, waiting: 6 }, { now: 5, known: loadOf(table, 1) })
    expect(outstandingOf(table, 1)).toBe(10)
    // Two of ours end, one begins: those of others are as many as they were.
    table.inflight[1] = 2
    expect(outstandingOf(table, 1)).toBe(9)
    expect(loadOf(table, 1)).toBe(2)
    expect(reportOf(table.reports, 1)).toEqual({ running: 4, waiting: 6 })
  })

  it('never takes away calls that are known here', () => {
    const { table } = bench()
    table.inflight[1] = 8
    reportLoad(table.reports, 1, { running: 1 }, { now: 5, known: 8 })
    expect(outstandingOf(table, 1)).toBe(8)
  })

  it('counts a full cache as calls, and a half empty one as none', () => {
    const { table } = bench()
    const at = (utilization: number) => {
      reportLoad(table.reports, 1, { utilization }, { now: 5, known: 0 })
      return outstandingOf(table, 1)
    }
    expect([0, 0.3, 0.5].map(at)).toEqual([0, 0, 0])
    expect(at(0.8)).toBeCloseTo(0.45)
    expect(at(0.9)).toBeCloseTo(1.2)
    expect(at(1)).toBe(at(0.99))
  })

  it('counts for nothing when it is too old, and the reason is said', () => {
    const { table } = bench()
    reportLoad(table.reports, 1, { waiting: 9 }, { now: 1_000, known: 0 })
    expireReports(table.reports, Int32Array.of(1), { now: 3_000, maxAgeMs: 2_000 })
    expect(outstandingOf(table, 1)).toBe(9)
    expireReports(table.reports, Int32Array.of(1), { now: 3_001, maxAgeMs: 2_000 })
    expect(outstandingOf(table, 1)).toBe(0)
    expect(reportOf(table.reports, 1)).toBe('stale')
  })

  it('stays until it is too old where a later one is refused', () => {
    const { table } = bench()
    reportLoad(table.reports, 1, { waiting: 9 }, { now: 1_000, known: 0 })
    reportLoad(table.reports, 1, 'malformed', { now: 2_000, known: 0 })
    expect(outstandingOf(table, 1)).toBe(9)
    expireReports(table.reports, Int32Array.of(1), { now: 9_000, maxAgeMs: 2_000 })
    expect(reportOf(table.reports, 1)).toBe('malformed')
  })

  it('is forgotten with its backend', () => {
    const { table } = bench()
    reportLoad(table.reports, 1, { waiting: 9 }, { now: 1_000, known: 0 })
    claimSlot(table, 1, 77)
    expect(outstandingOf(table, 1)).toBe(0)
    expect(reportOf(table.reports, 1)).toBe('none')
  })

  it.each(['p2c', 'least-request', 'peak-ewma', 'prequal'] as const)(
    'keeps calls of %s from a backend that others keep busy',
    (name) => {
      const { table, policy, slots } = bench(name)
      for (const slot of slots) table.inflight[slot] = 1
      const busy = slots[1] ?? 0
      reportLoad(table.reports, busy, { running: 9 }, { now: 1, known: 1 })
      for (let call = 0; call < 50; call++) expect(policy.pick(slots, 3, undefined)).not.toBe(busy)
    },
  )
})
