import { expect, it } from 'vitest'
import { kpa } from '../../../bench/sim/scale/rules.ts'
import type { Demand } from '../../../src/control/scale/demand.ts'

it('Knative at 35 calls, ten a replica and a target of 70 %, wants five, and with three ready does not panic', () => {
  const rule = kpa({ slots: 10, min: 1, max: 100 }, { target: 0.7, stableMs: 60_000, delayMs: 0 })
  const report = (at: number, concurrency: number): Demand => {
    const replicas = { ready: 3, startingMs: [], slow: 0, draining: 0 }
    return { at, buckets: [{ concurrency }], replicas } as unknown as Demand
  }
  expect(rule.desired(report(2_000, 35))).toBe(5)
  // A panic would keep the five for a minute.
  expect(rule.desired(report(62_001, 21))).toBe(3)
})
