/** The judge over many seeds: how often it stops versions that are equal, and after how many calls it finds one that is not. */

import {
  beginStep,
  type Deeds,
  openJudge,
  type PoolDeed,
  type RolloutLimits,
  verdict,
  weighIn,
} from '../../../src/control/rollout/judge.ts'
import { comparisons, DEFAULT_STEPS, smallestSample, starts } from '../../../src/control/rollout/plan.ts'
import { timeBucket } from '../../../src/lib/fine-times.ts'
import { createRandom, type Random } from '../../../src/lib/seeded-random.ts'
import { lognormal } from '../service.ts'

export interface Pair {
  /** Share of the old pool's calls that fail. */
  readonly failing: number
  /** By how much more the new one does, how many times as long it takes, and what share of its answers differs. */
  readonly more?: number
  readonly slower?: number
  readonly differing?: number
}

export const LIMITS: RolloutLimits = { maxErrors: 0.005, maxLatency: 1.2, maxDifferences: 0.001 }
/** Misses a second of the route; of the new pool in the comparison. */
const PER_SECOND = 100
const COMPARED = 20

export interface Judging {
  /** Rollouts that were stopped, and the calls of the new pool until then, in order. */
  readonly stopped: number
  readonly stoppedEarly: number
  readonly calls: readonly number[]
  readonly sample: number
}

/** `stoppedEarly`: before the new pool had 5 % of the calls. */
export function judge(pair: Pair, seeds: number): Judging {
  const sample = smallestSample(pair.failing, { steps: DEFAULT_STEPS, limits: LIMITS, isCompared: true })
  const ends = Array.from({ length: seeds }, (_, seed) => playOne(pair, sample, seed))
  const found = ends.filter(({ share }) => share !== undefined)
  return {
    stopped: found.length,
    stoppedEarly: found.filter(({ share = 100 }) => share < 5).length,
    calls: found.map(({ calls }) => calls).sort((a, b) => a - b),
    sample,
  }
}

/** One rollout: the comparison, then each step until its sample is there. `share`: where it was stopped; undefined: nowhere. */
function playOne(pair: Pair, sample: number, seed: number): { calls: number; share: number | undefined } {
  const random = createRandom(seed, 'judge')
  const draw = lognormal({ meanMs: 20, scv: 0.5 }, random)
  let judged = openJudge(starts(DEFAULT_STEPS))
  let calls = 0
  for (const share of [0, ...DEFAULT_STEPS.slice(0, -1)]) {
    judged = beginStep(judged)
    const least = share === 0 ? comparisons(sample, { steps: DEFAULT_STEPS, limits: LIMITS }) : sample
    for (let had = 0; had < least; ) {
      const fresh = share === 0 ? COMPARED : binomial(random, PER_SECOND, share / 100)
      const deeds: Deeds = {
        old: deedOf(random, draw, PER_SECOND - (share === 0 ? 0 : fresh), pair.failing, 1),
        new: deedOf(random, draw, fresh, pair.failing + (pair.more ?? 0), pair.slower ?? 1),
        compared: share === 0 ? fresh : 0,
        different: share === 0 ? binomial(random, fresh, pair.differing ?? 0) : 0,
      }
      had += fresh
      calls += fresh
      judged = weighIn(judged, deeds, LIMITS)
      if (verdict(judged, LIMITS)) return { calls, share }
    }
  }
  return { calls, share: undefined }
}

function deedOf(
  random: Random,
  draw: () => number,
  calls: number,
  failing: number,
  slower: number,
): PoolDeed {
  const bad = binomial(random, calls, failing)
  const counts = new Map<number, number>()
  for (let i = bad; i < calls; i++) {
    const bucket = timeBucket(slower * draw())
    counts.set(bucket, (counts.get(bucket) ?? 0) + 1)
  }
  return { calls, bad, times: [...counts].flat() }
}

function binomial(random: Random, of: number, chance: number): number {
  let count = 0
  for (let i = 0; i < of; i++) if (random() < chance) count++
  return count
}
