/** A few seconds of the simulator in every run of the tests; the whole of it is test/sim. */
import { describe, expect, it } from 'vitest'
import {
  everythingSick,
  POLICIES,
  type Row,
  sinkhole,
  slowBackend,
} from '../../../bench/sim/balance/experiments.ts'

const OURS = 'peak-ewma + outliers'
const arms = POLICIES.filter(({ name }) => [OURS, 'prequal', 'round-robin'].includes(name))
const of = (rows: readonly Row[], arm: string, column: string) =>
  Number(rows.find((row) => row['arm'] === arm)?.[column])

// Hundreds of milliseconds of processor; a busy machine may take many times that.
describe('the balancer in simulation', { timeout: 30_000 }, () => {
  it('keeps p99 with one slow backend of four near that of the three others', () => {
    const rows = slowBackend(1, arms, 12_000)
    for (const arm of [OURS, 'prequal']) expect(of(rows, arm, 'ratio')).toBeLessThanOrEqual(1.3)
    expect(of(rows, 'round-robin', 'ratio')).toBeGreaterThan(10)
  })

  it('gives a backend that fails fast under one percent of the picks after a second', () => {
    const rows = sinkhole(1, arms, 5_000)
    expect(of(rows, OURS, 'to it after 1 s %')).toBeLessThan(1)
    expect(of(rows, 'round-robin', 'to it after 1 s %')).toBeGreaterThan(20)
  })

  it('adds a quarter of the load at most while all fail, and is back in two seconds', () => {
    const rows = everythingSick(1, 1, 200)
    expect(of(rows, 'all ours', 'attempts a call')).toBeLessThanOrEqual(1.25)
    expect(of(rows, 'all ours', 'recovered after ms')).toBeLessThanOrEqual(2_000)
  })
})
