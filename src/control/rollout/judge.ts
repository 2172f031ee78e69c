/**
 * Judges a new pool beside the old one: failures, latency, and answers that differ. Pure, and its memory is plain data, so that another
 * gateway can go on with it.
 *
 * It may be asked after every second: each of its tests is a test martingale (evidence.ts), and a pool that keeps within the limits is stopped
 * by any of them with a probability of at most `FALSE_STOPS` over the whole rollout, however often it is looked at.
 *
 * Latency is judged by shares, too, for nothing is known of its distribution: where the new pool takes no more than `maxLatency` times as long,
 * no larger share of its calls is over 1.2·t than of the old pool's calls is over t, for any t. Two are looked at: the old pool's median
 * and its 95th percentile, as they were before the step.
 */

import {
  addTimes,
  bucketEndMs,
  bucketsIn,
  countAbove,
  countOf,
  quantileBucket,
  type SparseTimes,
  timeBucket,
} from '../../lib/fine-times.ts'
import {
  addBlock,
  addCounts,
  type Block,
  type EvidenceOptions,
  logEvidence,
  NO_EVIDENCE,
  type PoolEvidence,
  startAgain,
} from './evidence.ts'

/** What a pool did in some time. */
export interface PoolDeed {
  /** Attempts at its backends, and calls that found none. */
  readonly calls: number
  /** Those that failed, came too late, or were refused as bad (4xx). */
  readonly bad: number
  /** How long the answers took. */
  readonly times: SparseTimes
}

/** What happened since the last look. */
export interface Deeds {
  readonly old: PoolDeed
  readonly new: PoolDeed
  /** Answers of both to the same call, laid side by side. */
  readonly compared: number
  readonly different: number
}

export interface RolloutLimits {
  /** How much larger a share of its calls may fail than of the old pool's: 0.005 is half a percentage point. */
  readonly maxErrors: number
  /** How many times as long it may take. */
  readonly maxLatency: number
  /** The share of compared answers that may differ; undefined: they are counted, and not judged. */
  readonly maxDifferences?: number | undefined
}

/** Probability, at most, that a pool within the limits is stopped at any time of the rollout. */
export const FALSE_STOPS = 0.01

/** So much more is no longer time of a model: a pool that gets few calls opens connections for them, and its processor is cold. */
const SLACK_MS = 2

/** With nothing to compare with, so much larger a share may fail: rates drift. From so many calls on the old pool's is known. */
const UNCOMPARED = 0.02
const KNOWN_CALLS = 200

/** Times of the old pool from which its median and tail are known well enough. */
const KNOWN_TIMES = 100

const TESTS = ['errors', 'median', 'tail', 'differences'] as const
export type Test = (typeof TESTS)[number]

export interface JudgeState {
  /** Planned starts of the evidence: the steps. */
  readonly starts: number
  readonly evidence: Readonly<Record<Test, PoolEvidence>>
  /** Of the old pool, from the beginning. */
  readonly times: SparseTimes
  /** The buckets of the old pool's median and tail that this step goes by. */
  readonly marks?: { readonly median: number; readonly tail: number }
}

export interface JudgeVerdict {
  readonly test: Test
  /** What was seen, for people. */
  readonly sentence: string
}

export function openJudge(starts: number): JudgeState {
  const evidence = {
    errors: NO_EVIDENCE,
    median: NO_EVIDENCE,
    tail: NO_EVIDENCE,
    differences: NO_EVIDENCE,
  }
  return { starts, evidence, times: [] }
}

/** A step begins: what was good so far may turn bad under more load, so the evidence also starts anew. */
export function beginStep(judged: JudgeState): JudgeState {
  const evidence = mapTests((test) => startAgain(judged.evidence[test], options(judged, 0)))
  return withMarks({ ...judged, evidence })
}

/** Takes in what happened since the last look. */
export function weighIn(judged: JudgeState, deeds: Deeds, limits: RolloutLimits): JudgeState {
  const marked = judged.marks ? judged : withMarks(judged)
  const { evidence, marks } = marked
  const { old, new: fresh, compared, different } = deeds
  const errors = {
    oldCalls: old.calls,
    oldBad: Math.min(old.bad, old.calls),
    newCalls: fresh.calls,
    newBad: Math.min(fresh.bad, fresh.calls),
  }
  const late = (mark: number): Block => ({
    oldCalls: countOf(old.times),
    oldBad: countAbove(old.times, mark),
    newCalls: countOf(fresh.times),
    newBad: countAbove(fresh.times, bearable(mark, limits)),
  })
  const even = options(judged, 0)
  return {
    ...marked,
    times: addTimes(marked.times, old.times),
    evidence: {
      errors: withErrors(marked, errors, limits),
      median: marks ? addBlock(evidence.median, late(marks.median), even) : evidence.median,
      tail: marks ? addBlock(evidence.tail, late(marks.tail), even) : evidence.tail,
      differences:
        limits.maxDifferences === undefined
          ? evidence.differences
          : addCounts(
              evidence.differences,
              { calls: compared, bad: different },
              options(judged, limits.maxDifferences),
            ),
    },
  }
}

/** Where the old pool has no calls any more, the new one's failures are held against those that it had, and somewhat more. */
function withErrors(judged: JudgeState, block: Block, { maxErrors }: RolloutLimits): PoolEvidence {
  const before = judged.evidence.errors
  const { oldCalls, oldBad } = before.seen
  if (block.oldCalls > 0 || oldCalls < KNOWN_CALLS) return addBlock(before, block, options(judged, maxErrors))
  const allowed = oldBad / oldCalls + maxErrors + UNCOMPARED
  return addCounts(before, { calls: block.newCalls, bad: block.newBad }, options(judged, allowed))
}

/** Undefined: nothing speaks against the new pool. */
export function verdict(judged: JudgeState, limits: RolloutLimits): JudgeVerdict | undefined {
  const against = TESTS.find((test) => {
    const margin = test === 'errors' ? limits.maxErrors : 0
    return logEvidence(judged.evidence[test], options(judged, margin)) >= Math.log(TESTS.length / FALSE_STOPS)
  })
  return against && { test: against, sentence: sentenceOf(judged, against, limits) }
}

function withMarks(judged: JudgeState): JudgeState {
  if (countOf(judged.times) < KNOWN_TIMES) return judged
  const median = quantileBucket(judged.times, 0.5)
  const tail = quantileBucket(judged.times, 0.95)
  return median === undefined || tail === undefined ? judged : { ...judged, marks: { median, tail } }
}

/** The last bucket of times that the new pool may have where the old one has those up to `mark`. */
function bearable(mark: number, { maxLatency }: RolloutLimits): number {
  return Math.max(mark + bucketsIn(maxLatency), timeBucket(bucketEndMs(mark) + SLACK_MS))
}

function options({ starts }: JudgeState, margin: number): EvidenceOptions {
  return { starts, margin }
}

function mapTests(of: (test: Test) => PoolEvidence): Record<Test, PoolEvidence> {
  return {
    errors: of('errors'),
    median: of('median'),
    tail: of('tail'),
    differences: of('differences'),
  }
}

function sentenceOf({ evidence, marks }: JudgeState, test: Test, limits: RolloutLimits): string {
  const { oldCalls, oldBad, newCalls, newBad } = evidence[test].seen
  const [was, is] = [percent(oldBad, oldCalls), percent(newBad, newCalls)]
  if (test === 'errors')
    return `${is} of its ${newCalls} calls failed, and ${was} of the old pool's ${oldCalls}; allowed are ${points(limits.maxErrors)} more`
  if (test === 'differences')
    return `${newBad} of ${newCalls} compared answers differ (${is}); allowed are ${share(limits.maxDifferences ?? 0)}`
  const mark = marks?.[test] ?? 0
  const long = milliseconds(bucketEndMs(bearable(mark, limits)))
  return `${is} of its ${newCalls} answers took over ${long}, and ${was} of the old pool's ${oldCalls} over ${milliseconds(bucketEndMs(mark))}; allowed is ${limits.maxLatency} times as long`
}

function percent(part: number, of: number): string {
  return of === 0 ? '0 %' : share(part / of)
}

export function share(of: number): string {
  return `${Number((100 * of).toPrecision(3))} %`
}

function points(of: number): string {
  return `${Number((100 * of).toPrecision(3))} percentage points`
}

function milliseconds(ms: number): string {
  return `${Number(ms.toPrecision(3))} ms`
}
