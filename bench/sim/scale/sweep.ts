/** Every rule over its own range of settings, summed over the mixed loads. */
import { SCALE_DEFAULTS, type ScaleOptions } from '../../../src/control/scale/demand.ts'
import { play, type Score } from './play.ts'
import type { Load } from './pool.ts'
import { hpa, hpaP95, kpa, type MakeRule, ours, type Rule, utilisation } from './rules.ts'
import { POOL, type Scenario, settingsOf } from './scenarios.ts'

/** A setting's sum over several loads and seeds. */
export interface Point {
  readonly family: Rule['family']
  readonly setting: string
  readonly violationSeconds: number
  readonly replicaSeconds: number
  /** The most reversals in any ten minutes of any run. */
  readonly worstReversals: number
  readonly parts: readonly {
    readonly scenario: string
    readonly violationSeconds: number
    readonly replicaSeconds: number
  }[]
}

export const OPTIONS: ScaleOptions = {
  ...SCALE_DEFAULTS,
  min: POOL.min,
  max: POOL.max,
  slots: POOL.slots,
  sloMs: POOL.sloMs,
  startMs: POOL.startMs,
}

/** The settings each of the other rules is tried with; a small choice when `quick`. */
export function competitors(quick: boolean): MakeRule[] {
  const targets = quick ? [0.4, 0.6, 0.8] : [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
  // As long as ours keeps a level at first sight.
  const delays = quick ? [0, 300_000] : [0, 60_000, 120_000, 300_000, 900_000]
  const windows = quick ? [60_000] : [30_000, 60_000]
  const made: MakeRule[] = []
  for (const delayMs of delays) {
    for (const target of targets) {
      for (const stableMs of windows) made.push(() => kpa(POOL, { target, stableMs, delayMs }))
      made.push(() => hpa(POOL, { target, downMs: delayMs }))
      for (const windowMs of quick ? [15_000] : [5_000, 15_000, 60_000]) {
        made.push(() => utilisation(POOL, { target, windowMs, downMs: delayMs, meanMs: POOL.meanMs }))
      }
    }
    for (const share of quick ? [0.7] : [0.5, 0.7, 0.9]) {
      made.push(() => hpaP95(POOL, { sloMs: POOL.sloMs, share, downMs: delayMs }))
    }
  }
  return made
}

/** Ours, and around it what changes when more or less risk is taken. */
export function oursOverRisk(quick: boolean): MakeRule[] {
  const risks = quick ? [SCALE_DEFAULTS.risk] : [0.005, 0.01, SCALE_DEFAULTS.risk, 0.02, 0.035, 0.045]
  return risks.map(
    (risk) => () =>
      ours({ ...OPTIONS, risk }, 250, risk === SCALE_DEFAULTS.risk ? 'default' : `risk=${risk}`),
  )
}

/** Plays one setting over all loads and adds up. */
export function total(
  make: MakeRule,
  runs: readonly { scenario: Scenario; load: Load; seed: number }[],
): Point {
  const parts = runs.map(({ scenario, load, seed }) => {
    const score: Score = play(load, settingsOf(scenario), make(), { untilMs: scenario.untilMs, seed })
    return { scenario: scenario.name, ...score }
  })
  const { family, setting } = make()
  return {
    family,
    setting,
    violationSeconds: parts.reduce((sum, part) => sum + part.violationSeconds, 0),
    replicaSeconds: parts.reduce((sum, part) => sum + part.replicaSeconds, 0),
    worstReversals: parts.reduce((most, part) => Math.max(most, part.worstReversals), 0),
    parts: parts.map(({ scenario, violationSeconds, replicaSeconds }) => ({
      scenario,
      violationSeconds,
      replicaSeconds,
    })),
  }
}

/** Those that no other of the list beats on both counts, cheapest first. */
export function front(points: readonly Point[]): Point[] {
  const sorted = [...points].sort((a, b) => a.replicaSeconds - b.replicaSeconds)
  let least = Infinity
  return sorted.filter(({ violationSeconds }) => {
    if (violationSeconds >= least) return false
    least = violationSeconds
    return true
  })
}
