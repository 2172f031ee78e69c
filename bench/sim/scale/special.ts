/** Situations that are not about how much load there is: caches, impossible promises, bottlenecks elsewhere, bursts, unknown replicas. */

import type { Decision } from '../../../src/control/scale/decision.ts'
import type { ScaleOptions } from '../../../src/control/scale/demand.ts'
import { createRandom } from '../../../src/lib/seeded-random.ts'
import { bursts, constant, merged, paced, poisson, type Rate, record, steps } from '../arrivals.ts'
import { coldStart, lognormal } from '../service.ts'
import { play, type Score } from './play.ts'
import type { Load, PoolSettings } from './pool.ts'
import { ours } from './rules.ts'
import { POOL } from './scenarios.ts'
import { OPTIONS } from './sweep.ts'

export interface Outcome extends Score {
  /** Every decision that was made. */
  readonly decisions: readonly Decision[]
}

interface Situation {
  readonly load: Load
  readonly settings?: Partial<PoolSettings>
  readonly options?: Partial<ScaleOptions>
  readonly untilMs: number
}

const MINUTE = 60_000

function run({ load, settings, options, untilMs }: Situation, seed: number): Outcome {
  const rule = ours({ ...OPTIONS, ...options }, 250)
  const decisions: Decision[] = []
  const watched = {
    ...rule,
    desired(demand: Parameters<typeof rule.desired>[0]) {
      const desired = rule.desired(demand)
      const last = rule.last?.()
      if (last) decisions.push(last)
      return desired
    },
  }
  const pool = { slots: POOL.slots, startMs: POOL.startMs, sloMs: POOL.sloMs, initial: 2, ...settings }
  return { ...play(load, pool, watched, { untilMs, seed }), decisions }
}

function loadOf(rate: Rate, ceiling: number, it: { untilMs: number; seed: number; meanMs?: number }): Load {
  const arrivals = record(poisson(rate, ceiling, createRandom(it.seed, 'arrivals')), it.untilMs)
  return { arrivals, serviceMs: serviceTimes(arrivals.length, it.seed, it.meanMs) }
}

function serviceTimes(count: number, seed: number, meanMs: number = POOL.meanMs): Float64Array {
  const draw = lognormal({ meanMs, scv: POOL.scv }, createRandom(seed, 'service'))
  return Float64Array.from({ length: count }, draw)
}

/** Ten times the calls, every one of them answered by the cache; twenty misses a second go on as before. */
export function allHits(seed: number): Outcome {
  const untilMs = 10 * MINUTE
  const rate = steps([
    { fromMs: 0, perSecond: 100 },
    { fromMs: 4 * MINUTE, perSecond: 1_000 },
  ])
  const hitRatio = (at: number) => 1 - 20 / rate(at)
  return run({ load: loadOf(rate, 1_000, { untilMs, seed }), settings: { hitRatio }, untilMs }, seed)
}

export const LOST_AT_MS = 4 * MINUTE

/** 86 % hits, until the shared tier is down and 10 % are left: misses come 6.4 times as often from one instant to the next. */
export function cacheLost(seed: number, isTold: boolean, reserve = 0): Outcome {
  const untilMs = 8 * MINUTE
  const settings: Partial<PoolSettings> = {
    hitRatio: (at) => (at < LOST_AT_MS ? 0.86 : 0.1),
    cacheLoss: (at) =>
      isTold && at >= LOST_AT_MS ? { kind: 'tierDown', at: LOST_AT_MS, hitRatioLeft: 0.1 } : undefined,
  }
  const load = loadOf(constant(500), 500, { untilMs, seed })
  return run({ load, settings, options: { cacheLossReserve: reserve }, untilMs }, seed)
}

/** A deployment empties the cache; the hits come back with a half-life of a minute. Told `aheadMs` before it happens, or not at all. */
export function rollout(seed: number, aheadMs: number | undefined): Outcome {
  const untilMs = 12 * MINUTE
  const settings: Partial<PoolSettings> = {
    hitRatio: (at) => (at < LOST_AT_MS ? 0.86 : 0.86 * (1 - 0.5 ** ((at - LOST_AT_MS) / MINUTE))),
    cacheLoss: (at) =>
      aheadMs !== undefined && at >= LOST_AT_MS - aheadMs
        ? { kind: 'deployment', at: LOST_AT_MS, hitRatioLeft: 0 }
        : undefined,
  }
  return run({ load: loadOf(constant(500), 500, { untilMs, seed }), settings, untilMs }, seed)
}

/** Calls that take 300 ms with 200 ms promised. */
export function infeasible(seed: number): Outcome {
  const untilMs = 10 * MINUTE
  return run({ load: loadOf(constant(60), 60, { untilMs, seed, meanMs: 300 }), untilMs }, seed)
}

/** All replicas share something that serves ten calls at a time; more replicas only make them wait there. */
export function bottleneck(seed: number): Outcome {
  const untilMs = 10 * MINUTE
  const rate = steps([
    { fromMs: 0, perSecond: 50 },
    { fromMs: 2 * MINUTE, perSecond: 250 },
  ])
  return run({ load: loadOf(rate, 250, { untilMs, seed }), settings: { sharedSlots: 10 }, untilMs }, seed)
}

/** A call each 10 ms and ten more at once each second, 10 ms a call, one at a time on a replica (knative/serving#15000). */
export function smallBursts(seed: number): Outcome {
  const untilMs = 5 * MINUTE
  const arrivals = record(merged([paced(100), bursts({ count: 10, periodMs: 1_000 })]), untilMs)
  const serviceMs = new Float64Array(arrivals.length).fill(10)
  const settings = { slots: 1, sloMs: 40, initial: 2 }
  return run({ load: { arrivals, serviceMs }, settings, options: { slots: 1, sloMs: 40 }, untilMs }, seed)
}

/** Replicas that declare nothing, are sent sixteen calls at a time, and slow down beyond four. */
export function undeclared(seed: number): Outcome {
  const untilMs = 20 * MINUTE
  const rate = steps([
    { fromMs: 0, perSecond: 60 },
    { fromMs: 5 * MINUTE, perSecond: 300 },
  ])
  const { slots: _, ...options } = OPTIONS
  const pool = { slots: 4, admits: 16, startMs: POOL.startMs, sloMs: POOL.sloMs, initial: 2 }
  const rule = ours(options, 250)
  return {
    ...play(loadOf(rate, 300, { untilMs, seed }), pool, rule, { untilMs, seed }),
    decisions: [rule.last?.()].filter((d) => d !== undefined),
  }
}

/** New replicas are five times slower for their first half minute. */
export function slowStarters(seed: number): Outcome {
  const untilMs = 10 * MINUTE
  const rate = steps([
    { fromMs: 0, perSecond: 50 },
    { fromMs: 3 * MINUTE, perSecond: 300 },
  ])
  const settings = { warmUp: coldStart({ factor: 5, warmUpMs: 30_000 }), warmUpMs: 30_000 }
  return run({ load: loadOf(rate, 300, { untilMs, seed }), settings, untilMs }, seed)
}

/** The first second, from `fromMs` on, in which too many calls were late; Infinity when there was none. */
export function firstViolation(outcome: Outcome, fromMs: number): number {
  const second = outcome.violations.findIndex((isViolation, i) => isViolation && i * 1000 >= fromMs)
  return second < 0 ? Infinity : second * 1000
}
