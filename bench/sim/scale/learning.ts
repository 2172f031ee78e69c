/**
 * Replicas that do not say how many calls they bear: the scaler has to find out. Each load is played twice, with the number declared
 * (the gateway sends no more than that, and the rest waits in its queue) and without (it sends 64, and they crowd in the replica).
 */
import type { Decision } from '../../../src/control/scale/decision.ts'
import type { Demand, ScaleOptions } from '../../../src/control/scale/demand.ts'
import { withOverload } from '../../../src/control/scale/slot-estimate.ts'
import { createRandom } from '../../../src/lib/seeded-random.ts'
import { constant, diurnal, flashCrowd, poisson, type Rate, record, steps } from '../arrivals.ts'
import { bimodal, type Draw, deterministic, exponentialService } from '../service.ts'
import type { Crowding } from './crowd.ts'
import { play, type Score } from './play.ts'
import type { Load, PoolSettings } from './pool.ts'
import { ours } from './rules.ts'
import { OPTIONS } from './sweep.ts'

export type Shape = 'steady' | 'step' | 'ramp' | 'diurnal' | 'flash crowd'
export type ServiceKind = 'fixed' | 'exponential' | 'bimodal'

export interface Unsaid {
  readonly places: number
  readonly service: ServiceKind
  readonly crowding: Crowding
  readonly shape: Shape
}

/** Calls a replica is sent at a time where it declares nothing: the default of `connections`. */
const SENT = 64
const MEAN_MS = 50
const SLO_MS = 400
const MINUTE = 60_000
export const UNTIL_MS = 10 * MINUTE
/** From here on the number has had time to be learnt. */
export const LEARNT_MS = 5 * MINUTE

/** In calls a second that one replica can serve: from a tenth of one to two and a half. */
const LOW = 0.1
const HIGH = 2.5

const RATES: Record<Shape, (low: number, high: number) => Rate> = {
  steady: (_, high) => constant(0.7 * high),
  step: (low, high) =>
    steps([
      { fromMs: 0, perSecond: low },
      { fromMs: MINUTE, perSecond: high },
    ]),
  ramp: (low, high) => (at) => low + (high - low) * Math.min(1, at / (4 * MINUTE)),
  diurnal: (low, high) => diurnal({ low, high, dayMs: UNTIL_MS }),
  'flash crowd': (low, high) =>
    flashCrowd({
      base: low,
      peak: high,
      startMs: MINUTE,
      riseMs: 10_000,
      holdMs: 3 * MINUTE,
      halfLifeMs: MINUTE,
    }),
}

function drawOf(kind: ServiceKind, seed: number): Draw {
  const random = createRandom(seed, 'service')
  if (kind === 'fixed') return deterministic(MEAN_MS)
  if (kind === 'exponential') return exponentialService(MEAN_MS, random)
  return bimodal({ fastMs: 25, slowMs: 275, share: 0.1 }, random)
}

export function loadOf({ places, service, shape }: Unsaid, seed: number): Load {
  const one = (places * 1000) / MEAN_MS
  const rate = RATES[shape](LOW * one, HIGH * one)
  const arrivals = record(poisson(rate, HIGH * one * 1.001, createRandom(seed, 'arrivals')), UNTIL_MS)
  return { arrivals, serviceMs: Float64Array.from({ length: arrivals.length }, drawOf(service, seed)) }
}

export interface Played extends Score {
  readonly last: Decision | undefined
  /** The most replicas that were asked for. */
  readonly most: number
  /** Mean number of replicas asked for after the time to learn. */
  readonly mean: number
}

export interface Compared {
  readonly declared: Played
  /** As `learnt`, but the scaler knows the number: what remains is what crowds cost, and not what is not known. */
  readonly told: Played
  readonly learnt: Played
}

/** @param options of both, besides how many calls a replica bears */
export function compare(unsaid: Unsaid, seed: number, options: Partial<ScaleOptions> = {}): Compared {
  const load = loadOf(unsaid, seed)
  const { slots: _, ...rest } = { ...OPTIONS, sloMs: SLO_MS, ...options }
  const common = { slots: unsaid.places, startMs: rest.startMs, sloMs: SLO_MS, initial: 1 }
  const crowded = { ...common, admits: SENT, crowding: unsaid.crowding }
  return {
    told: played(load, crowded, { ...rest, slots: unsaid.places }, seed),
    declared: played(load, common, { ...rest, slots: unsaid.places }, seed),
    learnt: played(load, crowded, rest, seed),
  }
}

export function played(load: Load, settings: PoolSettings, options: ScaleOptions, seed: number): Played {
  const rule = ours(options, 500)
  // What crowds in the replicas is seen with a number that is told as it is with one that is learnt.
  const seen = (demand: Demand) =>
    options.slots !== undefined && settings.crowding ? withOverload(demand, options.slots, MEAN_MS) : demand
  const score = play(
    load,
    settings,
    { ...rule, desired: (demand) => rule.desired(seen(demand)) },
    { untilMs: UNTIL_MS, seed },
  )
  let [area, at, desired, most] = [0, LEARNT_MS, settings.initial, settings.initial]
  for (const change of [...score.changes, { at: UNTIL_MS, desired: 0 }]) {
    if (change.at > at) {
      area += desired * (change.at - at)
      at = change.at
    }
    desired = change.desired
    most = Math.max(most, desired)
  }
  return { ...score, last: rule.last?.(), most, mean: area / (UNTIL_MS - LEARNT_MS) }
}

/** Every combination. */
export function allUnsaid(): Unsaid[] {
  return [1, 2, 8, 32].flatMap((places) =>
    (['fixed', 'exponential', 'bimodal'] as const).flatMap((service) =>
      (['queueing', 'sharing'] as const).flatMap((crowding) =>
        (['steady', 'step', 'ramp', 'diurnal', 'flash crowd'] as const).map((shape) => ({
          places,
          service,
          crowding,
          shape,
        })),
      ),
    ),
  )
}
