/** The loads the rules are tried on, and the pool they are tried with. */

import { createRandom } from '../../../src/lib/seeded-random.ts'
import {
  constant,
  diurnal,
  flashCrowd,
  modulated,
  poisson,
  type Rate,
  record,
  square,
  steps,
} from '../arrivals.ts'
import { lognormal } from '../service.ts'
import type { Load, PoolSettings } from './pool.ts'

export interface Scenario {
  readonly name: string
  readonly untilMs: number
  readonly load: (seed: number) => Load
  readonly initial: number
}

const MINUTE = 60_000

/** 50 ms a call, SCV 0.5, four at a time on a replica, five seconds to start, p95 within 200 ms. */
export const POOL = { slots: 4, startMs: 5_000, sloMs: 200, meanMs: 50, scv: 0.5, min: 1, max: 40 } as const

export function settingsOf(scenario: Scenario, startMs: number = POOL.startMs): PoolSettings {
  return { slots: POOL.slots, startMs, sloMs: POOL.sloMs, initial: scenario.initial }
}

function serviceTimes(count: number, seed: number): Float64Array {
  const draw = lognormal({ meanMs: POOL.meanMs, scv: POOL.scv }, createRandom(seed, 'service'))
  return Float64Array.from({ length: count }, draw)
}

function varying(
  name: string,
  rate: Rate,
  shape: { ceiling: number; untilMs: number; initial: number },
): Scenario {
  return {
    name,
    untilMs: shape.untilMs,
    initial: shape.initial,
    load(seed) {
      const arrivals = record(
        poisson(rate, shape.ceiling, createRandom(seed, `arrivals ${name}`)),
        shape.untilMs,
      )
      return { arrivals, serviceMs: serviceTimes(arrivals.length, seed) }
    },
  }
}

export const poissonLoad = varying('poisson', constant(200), {
  ceiling: 200,
  untilMs: 40 * MINUTE,
  initial: 4,
})

/** Ten times the load from one instant to the next, twice. */
export const stepLoad = varying(
  'steps',
  steps([
    { fromMs: 0, perSecond: 50 },
    { fromMs: 10 * MINUTE, perSecond: 500 },
    { fromMs: 20 * MINUTE, perSecond: 50 },
    { fromMs: 30 * MINUTE, perSecond: 500 },
    { fromMs: 40 * MINUTE, perSecond: 50 },
  ]),
  { ceiling: 500, untilMs: 50 * MINUTE, initial: 2 },
)

export const diurnalLoad = varying('diurnal', diurnal({ low: 40, high: 500, dayMs: 60 * MINUTE }), {
  ceiling: 500,
  untilMs: 60 * MINUTE,
  initial: 2,
})

export const crowdLoad = varying(
  'flash crowd',
  flashCrowd({
    base: 50,
    peak: 600,
    startMs: 10 * MINUTE,
    riseMs: 10_000,
    holdMs: 5 * MINUTE,
    halfLifeMs: MINUTE,
  }),
  { ceiling: 600, untilMs: 40 * MINUTE, initial: 2 },
)

/** Calm for about forty seconds, four times the load for about twenty, by chance. */
export const burstLoad: Scenario = {
  name: 'bursts',
  untilMs: 40 * MINUTE,
  initial: 2,
  load(seed) {
    const shape = { calm: 60, busy: 240, calmMs: 40_000, busyMs: 20_000 }
    const arrivals = record(modulated(shape, createRandom(seed, 'arrivals bursts')), 40 * MINUTE)
    return { arrivals, serviceMs: serviceTimes(arrivals.length, seed) }
  },
}

/** High for the share `duty` of every period, and low for the rest; or the other way round. */
export function squareLoad(
  periodMs: number,
  { untilMs = 40 * MINUTE, duty = 0.5, isLowFirst = false } = {},
): Scenario {
  const wave = square({ low: 50, high: 400, periodMs, duty })
  const rate: Rate = isLowFirst ? (at) => wave(at + periodMs * duty) : wave
  return varying(`square ${periodMs / 1000} s`, rate, {
    ceiling: 400,
    untilMs,
    initial: 2,
  })
}

/** The four that are summed when rules are compared. */
export const MIXED = [stepLoad, burstLoad, diurnalLoad, crowdLoad]
