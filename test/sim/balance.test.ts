import { describe, expect, it } from 'vitest'
import {
  allButOneBack,
  everythingSick,
  hedging,
  heterogeneous,
  POLICIES,
  type Row,
  replay,
  retryStorm,
  sinkhole,
  slowBackend,
} from '../../bench/sim/balance/experiments.ts'

const arms = POLICIES.filter(({ name }) =>
  ['round-robin', 'peak-ewma', 'prequal', 'peak-ewma + outliers'].includes(name),
)
const of = (rows: readonly Row[], arm: string, column: string): number => {
  const row = rows.find((candidate) => candidate['arm'] === arm)
  if (row?.[column] === undefined) throw new Error(`no ${column} of ${arm} in ${JSON.stringify(rows)}`)
  return Number(row[column])
}
const OURS = 'peak-ewma + outliers'

// About four seconds of processor in all; a busy machine may take several times that.
describe('the balancer in simulation', { timeout: 30_000 }, () => {
  it.each([1, 2])(
    'keeps p99 with one slow backend of four near that of the three others, seed %i',
    (seed) => {
      const rows = slowBackend(seed, arms, 12_000)
      for (const arm of [OURS, 'peak-ewma', 'prequal'])
        expect(of(rows, arm, 'ratio')).toBeLessThanOrEqual(1.3)
      expect(of(rows, 'round-robin', 'ratio')).toBeGreaterThan(10)
    },
  )

  it('gives a backend that fails fast under one percent of the picks after a second', () => {
    const rows = sinkhole(1, arms, 12_000)
    expect(of(rows, OURS, 'to it after 1 s %')).toBeLessThan(1)
    expect(of(rows, 'peak-ewma', 'to it after 1 s %')).toBeLessThan(1)
    expect(of(rows, 'round-robin', 'to it after 1 s %')).toBeCloseTo(25, 0)
  })

  it.each([200, 500])(
    'with all failing at %i calls a second adds a quarter of the load at most, and is back in two seconds',
    (perSecond) => {
      const rows = everythingSick(1, 1, perSecond)
      expect(of(rows, 'all ours', 'attempts a call')).toBeLessThanOrEqual(1.25)
      expect(of(rows, 'all ours', 'recovered after ms')).toBeLessThanOrEqual(2_000)
      expect(of(rows, 'peak-ewma, 3 retries', 'attempts a call')).toBeGreaterThan(3.5)
    },
  )

  // Fewer calls come while they fail: what calls brought in before must not be spent on them, and leave a debt.
  it.each([1, 20, 200, 1_000])(
    'with 24 waiting callers and all failing in %i ms adds a fifth and what was saved up, and loses no call to one that stays dead',
    (failMs) => {
      for (const seed of [1, 2, 3]) {
        const rows = allButOneBack(seed, failMs)
        // Of calls that take a second there are only 140, and the twelve retries that were saved up show.
        expect(of(rows, 'all ours', 'attempts a call')).toBeLessThanOrEqual(
          failMs < 1_000 ? 1.25 : 1.2 + 12 / 140,
        )
        expect(of(rows, 'all ours', 'failed in the first second')).toBeLessThan(50)
        expect(of(rows, 'all ours', 'failed later')).toBe(0)
        // Of about 1,060 that three can answer.
        expect(of(rows, 'all ours', 'answered/s later')).toBeGreaterThan(950)
      }
    },
  )

  it('goes on serving what it can while all are sick', () => {
    const rows = everythingSick(1, 0.6, 300)
    expect(of(rows, 'all ours', 'answered meanwhile %')).toBeGreaterThan(40)
    expect(of(rows, 'all ours', 'recovered after ms')).toBeLessThanOrEqual(2_000)
  })

  it('loses fewer than one call in a thousand to a server that hangs, where round robin loses one in twenty', () => {
    const rows = replay(1, {
      untilMs: 20_000,
      arms: arms.filter(({ name }) => name === OURS || name === 'round-robin'),
    })
    expect(of(rows, OURS, 'success %')).toBeGreaterThanOrEqual(99.8)
    expect(of(rows, 'round-robin', 'success %')).toBeLessThan(96)
  })

  it('brings unequal backends to nine tenths of their capacity', () => {
    const rows = heterogeneous(1, arms, 3_000)
    expect(of(rows, OURS, 'calls/s at p99 ≤ 200 ms')).toBeGreaterThan(1_150)
    expect(of(rows, 'round-robin', 'calls/s at p99 ≤ 200 ms')).toBeLessThanOrEqual(400)
  })

  it('outlives a retry storm with a budget, a limit and a queue, and not with retries alone', () => {
    const rows = retryStorm(1)
    expect(of(rows, 'and a limit and queue', 'recovered after ms')).toBeLessThanOrEqual(5_000)
    expect(of(rows, 'and a limit and queue', 'in time meanwhile/s')).toBeGreaterThan(120)
    expect(rows.find(({ arm }) => arm === '3 retries')?.['recovered after ms']).toBe('never')
  })

  it('hedges the tail away for little, and adds five percent when all become slow', () => {
    const rows = hedging(1)
    const budget = 'at p95, budget of 5 %'
    expect(of(rows, budget, 'p99.9 ms')).toBeLessThan(of(rows, 'no hedge', 'p99.9 ms') / 5)
    expect(of(rows, budget, 'extra load %')).toBeLessThan(5.5)
    expect(of(rows, budget, 'extra load when all are slow %')).toBeLessThan(5.5)
    expect(of(rows, 'at p95, no budget', 'extra load when all are slow %')).toBeGreaterThan(15)
  })

  it('gives the same numbers from the same seed, and others from another', () => {
    const few = arms.filter(({ name }) => name === OURS)
    expect(slowBackend(7, few, 4_000)).toEqual(slowBackend(7, few, 4_000))
    expect(slowBackend(7, few, 4_000)).not.toEqual(slowBackend(8, few, 4_000))
  })
})
