/**
 * A rollout as plain data: all that has to be known to go on with it, by whichever gateway leads. What is to be done follows from it alone
 * (`effectsOf`), so that followers, and a gateway that starts anew, do the same.
 */
import type { Deeds, JudgeState, RolloutLimits } from './judge.ts'
import { longestMove, lostBy } from './plan.ts'

/**
 * `measuring`: how the route is now; `warming`: hot keys are asked of the new pool; `comparing`: it answers beside the old one; `moving`: it
 * has a share of the calls; `done`: it has all; `back`: the old pool has what it had.
 */
export type RolloutPhase = 'measuring' | 'warming' | 'comparing' | 'moving' | 'done' | 'back'

export interface RolloutOptions {
  /** Shares of the calls, in percent, growing, the last of them 100. */
  readonly steps: readonly number[]
  /** Least time at each step. */
  readonly holdMs: number
  /** Least calls of the new pool at each step; undefined: by the failures of the old one. */
  readonly sample?: number | undefined
  readonly limits: RolloutLimits
  readonly warm: boolean
  /** Share of the misses that is mirrored before the first step, 0 to 1; 0: none. */
  readonly compare: number
  /** How long a step may wait for its calls; undefined: by the rate of calls. */
  readonly stepTimeoutMs?: number | undefined
}

export interface Said {
  /** Milliseconds since the Unix epoch. */
  readonly at: number
  readonly sentence: string
}

/** Means over the last seconds, a second. */
export interface RolloutRates {
  readonly calls: number
  readonly misses: number
}

export interface Rollout {
  readonly id: string
  readonly route: string
  readonly from: string
  readonly to: string
  readonly options: RolloutOptions
  readonly phase: RolloutPhase
  readonly isPaused: boolean
  /** Of the calls of both pools, those that go to the new one, in percent; and before the rollout. */
  readonly share: number
  readonly shareBefore: number
  /** What the weights of the two pools add up to. */
  readonly weight: number
  /** The split of the YAML when it began: another one ends the rollout. */
  readonly written: string
  /** Index of the step that is aimed at; -1: the comparison. */
  readonly step: number
  /** When the phase or step began, and when the weight moved last; milliseconds since the Unix epoch. */
  readonly stepAt: number
  readonly movedAt: number
  readonly startedAt: number
  /** Calls of the new pool in this step, and compared answers. */
  readonly sampled: number
  readonly compared: number
  readonly differed: number
  /** Least calls of this rollout's steps. */
  readonly sample: number
  /** Least answers that are compared before the first step. */
  readonly comparisons: number
  readonly stepTimeoutMs: number
  readonly rates: RolloutRates
  /** Share of hits among all calls when it began; undefined: not known yet. */
  readonly hitsBefore?: number
  /** Share of the hits that the new pool's cache gives. */
  readonly coverage: number
  /** Keys a second that the warming asks for, while it runs. */
  readonly warmPerSecond: number
  readonly judged: JudgeState
  /** Why it went back, or how it was ended. */
  readonly reason?: 'errors' | 'latency' | 'differences' | 'samples' | 'backends' | 'settings' | 'operator'
  /** What it does now. */
  readonly sentence: string
  /** What it has done, the oldest first; bounded. */
  readonly history: readonly Said[]
}

/** How far the new pool's cache is warmed. */
export interface Warmth {
  readonly isDone: boolean
  /** The share of the hits that it gives now. */
  readonly coverage: number
  /** Keys that are asked a second. */
  readonly perSecond: number
  readonly sentence: string
}

/** What was seen since the last look. */
export interface RolloutSeen {
  /** Milliseconds since the Unix epoch, and since the last look. */
  readonly now: number
  readonly sinceMs: number
  readonly deeds: Deeds
  /** Calls of the route, and those that went to a backend. */
  readonly route: { readonly calls: number; readonly misses: number }
  /** Backends of the new pool that take calls, and how many it should have; left out: nobody says. */
  readonly replicas: { readonly ready: number; readonly wanted?: number | undefined }
  /** Undefined: this gateway cannot warm. */
  readonly warm?: Warmth | undefined
  readonly canCompare: boolean
}

/** What has to be so while a rollout is in this state. */
export interface Effects {
  readonly weights: Readonly<Record<string, number>>
  /** Hot keys are being asked of the new pool. */
  readonly warms: boolean
  /** Share of the misses that the new pool answers as well; 0: none. */
  readonly mirrored: number
  /** Misses a second that each pool will have to serve, for the scaler. */
  readonly expected: Readonly<Record<string, number>>
}

export function isOver({ phase }: Rollout): boolean {
  return phase === 'done' || phase === 'back'
}

export function effectsOf(rollout: Rollout): Effects {
  const { from, to, weight, share, phase, options } = rollout
  // Exact at both ends: a weight must not be a little below 0.
  const fresh = share >= 100 ? weight : (weight * share) / 100
  return {
    weights: { [from]: weight - fresh, [to]: fresh },
    warms: phase === 'warming' && !rollout.isPaused,
    mirrored: phase === 'comparing' ? options.compare : 0,
    expected: isOver(rollout) ? {} : expectedOf(rollout),
  }
}

/** Fewer hits than this share of the calls are not worth holding up a rollout for. */
const FEW_HITS = 0.05

/** Hits as a part of what there were when it began. */
export function hitsNow({ rates, hitsBefore }: Rollout): number {
  if (hitsBefore === undefined || hitsBefore < FEW_HITS || rates.calls === 0) return 1
  return (1 - rates.misses / rates.calls) / hitsBefore
}

/** How far the weight may move at once, in percentage points, with so many of the hits there. */
export function mayMove({ hitsBefore = 0, coverage }: Rollout, hits = 1): number {
  return hitsBefore < FEW_HITS ? 100 : longestMove(coverage, hits)
}

/** What is aimed at next, in percent. */
export function nextStep({ step, share, options }: Rollout): number {
  return step < 0 ? share : (options.steps[Math.min(step, options.steps.length - 1)] ?? 100)
}

/** The old pool keeps what it has, so that a way back finds its replicas; the new one gets those for its next move. */
function expectedOf(rollout: Rollout): Record<string, number> {
  const { from, to, rates, coverage, options, phase } = rollout
  const next = options.steps[Math.max(0, rollout.step)] ?? 100
  const known = { perSecond: rates.calls, missesPerSecond: rates.misses, coverage }
  const moved = Math.min(Math.max(0, next - rollout.share), mayMove(rollout))
  const aside = rollout.warmPerSecond + (phase === 'comparing' ? rates.misses * options.compare : 0)
  const served = (rates.misses * Math.min(100, rollout.share + moved)) / 100 + lostBy(known, moved)
  return { [from]: rates.misses, [to]: Math.max(aside, served) }
}
