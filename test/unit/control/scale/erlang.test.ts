// Erlang C and the slot searches against closed-form values.
import { describe, expect, it } from 'vitest'
import {
  erlangC,
  lateAlone,
  lateChance,
  type Mass,
  type Offered,
  slotsForSlo,
} from '../../../../src/control/scale/erlang.ts'

const load = (perSecond: number, variability: number, meanMs = 50) => ({
  erlangs: (perSecond * meanMs) / 1000,
  meanMs,
  variability,
})

/** An exponential distribution of the given mean in a thousand equal masses. */
const exponential = (meanMs: number): Mass[] =>
  Array.from({ length: 1000 }, (_, i) => ({ ms: -meanMs * Math.log(1 - (i + 0.5) / 1000), share: 0.001 }))

describe('the chance that a call waits', () => {
  it.each([
    [1, 0.5, 0.5],
    [2, 1, 0.3333],
    [4, 2, 0.1739],
    [4, 3, 0.5094],
    [4, 3.6, 0.7878],
    [8, 6, 0.357],
    [16, 12, 0.2046],
    [16, 14, 0.5085],
    [32, 28, 0.363],
    [64, 56, 0.2151],
  ])('with %i slots and %f Erlangs is %f', (slots, erlangs, wanted) => {
    expect(erlangC(slots, erlangs)).toBeCloseTo(wanted, 3)
  })

  it('is none without load and certain when the load exceeds the slots', () => {
    expect(erlangC(4, 0)).toBe(0)
    expect(erlangC(4, 4)).toBe(1)
    expect(erlangC(4, 9)).toBe(1)
  })

  it('neither overflows nor becomes NaN for a thousand slots', () => {
    expect(erlangC(1000, 950)).toBeGreaterThan(0.03)
    expect(erlangC(1000, 950)).toBeLessThan(0.2)
  })

  it.each([
    [0.5, 0.5],
    [1, 0.22],
    [1.5, 0.085],
    [2, 0.027],
  ])('approaches the limit of Halfin and Whitt: β %f gives %f', (beta, wanted) => {
    const erlangs = 4000
    expect(erlangC(Math.round(erlangs + beta * Math.sqrt(erlangs)), erlangs)).toBeCloseTo(wanted, 1.6)
  })
})

/** Of calls that take no time themselves only the wait counts. */
const slotsForWait = (offered: Offered, waitMs: number, chance: number) =>
  slotsForSlo(offered, [{ ms: 0, share: 1 }], { ms: waitMs, chance })

describe('the fewest slots for a wait budget', () => {
  it.each([
    [10, 2, 3],
    [50, 5, 6],
    [100, 7, 8],
    [200, 12, 14],
    [400, 22, 24],
    [1000, 53, 55],
  ])(
    'at %i calls/s of 50 ms and 80 ms of wait are %i, and %i when two and a half times as variable',
    (rate, calm, wild) => {
      expect(slotsForWait(load(rate, 1), 80, 0.025)).toBe(calm)
      expect(slotsForWait(load(rate, 2.5), 80, 0.025)).toBe(wild)
    },
  )

  it.each([
    [10, 2],
    [50, 4],
    [100, 7],
    [200, 12],
    [400, 22],
  ])('at %i calls/s of exactly 50 ms and 50 ms of wait are %i', (rate, wanted) => {
    expect(slotsForWait(load(rate, 0.5), 50, 0.025)).toBe(wanted)
  })

  it('are none without load', () => {
    expect(slotsForWait(load(0, 1), 80, 0.025)).toBe(0)
  })
})

describe('the fewest slots for an SLO', () => {
  const service = exponential(50)

  it('are just enough: with one fewer, too many calls are late', () => {
    for (const rate of [5, 40, 150, 600]) {
      const slots = slotsForSlo(load(rate, 1), service, { ms: 200, chance: 0.03 })
      expect(lateChance(load(rate, 1), slots, service, 200)).toBeLessThanOrEqual(0.03)
      expect(lateChance(load(rate, 1), slots - 1, service, 200)).toBeGreaterThan(0.03)
    }
  })

  it('agree with the closed form of M/M/1: P(R > t) = exp(-(1-ρ)t/S)', () => {
    expect(lateChance(load(10, 1), 1, service, 200)).toBeCloseTo(Math.exp((-0.5 * 200) / 50), 2)
  })

  it('are fewer than the union bound asks for, and never fewer than the load', () => {
    for (const rate of [10, 50, 100, 200, 400, 1000]) {
      const exact = slotsForSlo(load(rate, 1), service, { ms: 200, chance: 0.05 })
      expect(exact).toBeLessThanOrEqual(slotsForWait(load(rate, 1), 200 - 184, 0.025))
      expect(exact).toBeGreaterThan((rate * 50) / 1000)
    }
  })

  it('allow a higher utilisation to a larger pool', () => {
    const utilisation = [10, 100, 1000].map((rate) => {
      const offered = load(rate, 1)
      return offered.erlangs / slotsForSlo(offered, service, { ms: 200, chance: 0.025 })
    })
    expect(utilisation[0]).toBeLessThan(0.5)
    expect(utilisation[2]).toBeGreaterThan(0.9)
    expect([...utilisation].sort((a, b) => a - b)).toEqual(utilisation)
  })

  it('cannot make up for service that is itself too slow', () => {
    expect(lateAlone(service, 200)).toBeCloseTo(Math.exp(-4), 2)
    expect(lateChance(load(100, 1), 10_000, service, 200)).toBeCloseTo(lateAlone(service, 200), 6)
  })
})
