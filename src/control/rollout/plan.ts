/** What a rollout would take, before it begins: its steps, the calls that each needs, and the hits that moving costs. Pure. */
import { FALSE_STOPS, type RolloutLimits, share } from './judge.ts'

/** Shares of the traffic, in percent, growing up to 100. */
export const DEFAULT_STEPS = [1, 2, 5, 10, 25, 50, 100] as const

/** Least calls of the new pool in each step, whatever the rates. */
export const LEAST_SAMPLE = 300

/** A pool that fails so much more often than allowed is to be found before it has this share of the traffic, in percent. */
const FOUND = { errors: 0.045, differences: 0.01, before: 5, power: 1.65 } as const

/** Alternatives and tests of the judge, as its evidence is divided. */
const DIVIDED = 5 * 4

/**
 * The calls after which one that does `excess` more of what is allowed is found in 95 of 100 cases, by the normal approximation of the
 * evidence that it brings.
 *
 * @param allowed the share of calls that may be bad
 */
export function callsToFind(allowed: number, excess: number, parts: number): number {
  const base = Math.min(0.9, Math.max(0.0005, allowed))
  const bad = Math.min(0.99, base + excess)
  const [loss, gain] = [Math.log((1 - bad) / (1 - base)), Math.log(bad / base)]
  const mean = bad * gain + (1 - bad) * loss
  const spread = FOUND.power * Math.sqrt(bad * (1 - bad)) * (gain - loss)
  const wanted = Math.log((DIVIDED * parts) / FALSE_STOPS)
  return Math.ceil(((spread + Math.sqrt(spread ** 2 + 4 * mean * wanted)) / (2 * mean)) ** 2)
}

interface Sampling {
  readonly steps: readonly number[]
  readonly limits: RolloutLimits
  /** A comparison goes before the steps. */
  readonly isCompared: boolean
}

/** The smallest sample of each step, so that the steps below 5 % suffice to find a pool that fails five percentage points more often. */
export function smallestSample(failing: number, { steps, limits, isCompared }: Sampling): number {
  const early = steps.filter((step) => step < FOUND.before).length + (isCompared ? 1 : 0)
  const calls = callsToFind(failing + limits.maxErrors, FOUND.errors, starts(steps))
  return Math.max(LEAST_SAMPLE, Math.ceil(calls / Math.max(1, early)))
}

/** The answers to compare before the first step: where their differences are judged, as many as show one percentage point more than allowed. */
export function comparisons(
  sample: number,
  { steps, limits: { maxDifferences } }: Omit<Sampling, 'isCompared'>,
): number {
  if (maxDifferences === undefined) return sample
  return Math.max(sample, callsToFind(maxDifferences, FOUND.differences, starts(steps)))
}

/** The steps and the comparison before them. */
export function starts(steps: readonly number[]): number {
  return steps.length + 1
}

/** Hits must stay above nine tenths of what they were; moves are planned to keep this part, since forecasts err. */
export const KEPT_HITS = 0.94

/**
 * How far the weight may move at once, in percentage points, with the hits staying above nine tenths of what they were.
 *
 * @param coverage the share of the hits that the new pool's cache gives as well
 * @param hits what there are now, as a part of what there were
 */
export function longestMove(coverage: number, hits = 1): number {
  const [uncovered, spare] = [1 - coverage, Math.min(1, hits) - KEPT_HITS]
  return uncovered <= spare ? 100 : (100 * Math.max(0, spare)) / uncovered
}

/** What is known of the route before a rollout. */
export interface KnownRoute {
  /** Calls a second over the whole route, and those of them that go to a backend. */
  readonly perSecond: number
  readonly missesPerSecond: number
  /** Share of the hits that the new pool's cache gives already, or will once it is warmed. */
  readonly coverage: number
  /** Replicas for so many misses a second; undefined: unknown. */
  readonly replicasFor: (missesPerSecond: number) => number | undefined
}

export interface PlannedStep {
  /** Of the traffic, in percent; 0: the comparison. */
  readonly share: number
  readonly sample: number
  /** How long it takes until the sample is there, at the present rate; left out: nobody calls. */
  readonly seconds?: number
  /** Hits a second that are misses while it begins. */
  readonly hitsLost: number
  /** Misses a second that the new pool has to serve. */
  readonly misses: number
  /** Replicas for them; left out: unknown. */
  readonly replicas?: number
}

export interface PlanOptions {
  readonly steps: readonly number[]
  readonly holdMs: number
  readonly sample: number
  /** Least answers of the comparison. */
  readonly comparisons: number
  /** Share of the misses that is mirrored to compare, 0: no comparison. */
  readonly mirrored: number
}

export function planOf(known: KnownRoute, { steps, holdMs, mirrored, ...least }: PlanOptions): PlannedStep[] {
  const wanted = [...(mirrored > 0 ? [0] : []), ...steps]
  return wanted.map((to, i) => {
    const moved = Math.min(to - (wanted[i - 1] ?? 0), longestMove(known.coverage))
    const hitsLost = lostBy(known, moved)
    const misses = to === 0 ? known.missesPerSecond * mirrored : (known.missesPerSecond * to) / 100 + hitsLost
    const sample = to === 0 ? least.comparisons : least.sample
    const replicas = known.replicasFor(misses)
    return {
      share: to,
      sample,
      hitsLost,
      misses,
      ...(misses > 0 ? { seconds: Math.max(holdMs / 1000, sample / misses) } : {}),
      ...(replicas === undefined ? {} : { replicas }),
    }
  })
}

/** Hits a second that become misses where so many percentage points move. */
export function lostBy(
  { perSecond, missesPerSecond, coverage }: Pick<KnownRoute, 'perSecond' | 'missesPerSecond' | 'coverage'>,
  moved: number,
): number {
  return (Math.max(0, perSecond - missesPerSecond) * moved * (1 - coverage)) / 100
}

/** A plan in sentences. */
export function describePlan(plan: readonly PlannedStep[], pool: string): string[] {
  return plan.map(({ share: to, sample, seconds, hitsLost, misses, replicas }) => {
    const what = to === 0 ? `${pool} answers beside the old pool` : `${pool} has ${percent(to)} of the calls`
    const when = seconds === undefined ? 'nobody calls now' : `about ${duration(seconds)} at the present rate`
    const lost = hitsLost < 0.05 ? '' : `; about ${round(hitsLost)} hits a second are lost at first`
    const size =
      replicas === undefined
        ? ''
        : `, for which it needs ${replicas} ${replicas === 1 ? 'replica' : 'replicas'}`
    return `${what}: at least ${sample} calls of its own, ${when}${lost}; ${round(misses)} calls a second reach its backends${size}`
  })
}

export function percent(of: number): string {
  return share(of / 100)
}

export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`
  return `${Math.round(seconds / 360) / 10} h`
}

function round(value: number): string {
  return String(Number(value.toPrecision(2)))
}
