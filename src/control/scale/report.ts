/** Builds the decision object from a decision and the numbers behind it. */

import { hitRatio } from './cache-loss.ts'
import { recentP95 } from './correct.ts'
import { type Decision, type Reason, type Signals, sentence, type TokenSignals } from './decision.ts'
import type { Demand, ScaleOptions } from './demand.ts'
import { concurrencyOf, meanOf } from './load.ts'
import { longestReturn } from './load-recurrence.ts'
import type { ScaleMemory } from './memory.ts'
import { reversalsWithin } from './moves.ts'
import { isFeasible } from './plan.ts'
import type { Sized } from './size.ts'
import type { TokenFacts } from './token-estimate.ts'

/** A decision and its inputs. */
export interface ScaleOutcome {
  readonly from: number
  readonly reason: Reason
  readonly sized: Sized
  readonly late: number
  readonly holdMs: number
}

export function report(
  memory: ScaleMemory,
  demand: Demand,
  outcome: ScaleOutcome,
  options: ScaleOptions,
): Decision {
  const { sized, reason, from } = outcome
  const { desired } = memory.moves
  const uncapped = Math.ceil((sized.slots + sized.drain) / sized.facts.slots - 1e-9)
  const decision = {
    ...frame({ desired, from, at: demand.at }, demand, options),
    mode: memory.pressure.isPanic ? 'panic' : 'steady',
    reason,
    sloFeasible: isFeasible(sized.facts.service, options),
    scalingIneffective: memory.correct.ineffectiveUntil !== undefined,
    isCapped: uncapped > options.max,
    signals: signalsOf(memory, demand, outcome, options),
  } as const
  return { ...decision, sentence: sentence(decision, options) }
}

function signalsOf(
  memory: ScaleMemory,
  demand: Demand,
  outcome: ScaleOutcome,
  options: ScaleOptions,
): Signals {
  const { facts, rate, slots, drain, startMs } = outcome.sized
  const { meanMs, p95Ms } = facts.service
  const answered = meanOf(memory.load, 'answered', rate.windowMs) * 10
  const observed = recentP95(memory.correct)
  return {
    missesPerSecond: rate.perSecond,
    callsPerSecond: rate.perSecond + answered,
    hitRatio: hitRatio(memory.load, options.stableMs),
    concurrency: concurrencyOf(memory.load),
    erlangs: (rate.perSecond * meanMs) / 1000,
    serviceMs: { mean: meanMs, p95: p95Ms },
    slotsPerReplica: facts.slots,
    slotsKnown: !outcome.sized.isLearning,
    slotsNeeded: slots + drain,
    drainSlots: drain,
    queue: demand.queue,
    inflight: demand.inflight,
    expectedLate: outcome.late,
    ...(observed === undefined ? {} : { observedP95Ms: observed }),
    ...(outcome.sized.tokens ? { tokens: tokensOf(outcome.sized, outcome.sized.tokens) } : {}),
    trim: facts.trim,
    dispersion: facts.dispersion,
    startMs,
    holdMs: outcome.holdMs,
    returns: memory.moves.absences.returns.length,
    longestAbsenceMs: longestReturn(memory.moves.absences),
    reversals: reversalsWithin(memory.moves, options, demand.at),
  }
}

function tokensOf({ facts, rate }: Sized, { pieces, gapMs, boundBy }: TokenFacts): TokenSignals {
  return {
    perSecond: rate.perSecond * pieces,
    perGeneration: pieces,
    firstMs: facts.service.p95Ms,
    gapMs,
    replicaPerSecond: (facts.slots * 1000) / gapMs,
    boundBy,
  }
}

/** A decision without a plan behind it. */
export function bare(
  outcome: { desired: number; from: number; reason: Reason; at: number },
  demand: Demand | undefined,
  options: ScaleOptions,
): Decision {
  const decision = {
    ...frame(outcome, demand, options),
    mode: 'hold',
    reason: outcome.reason,
    sloFeasible: true,
    scalingIneffective: false,
    isCapped: false,
    signals: {
      missesPerSecond: 0,
      callsPerSecond: 0,
      hitRatio: 0,
      concurrency: { mean: 0, p95: 0 },
      erlangs: 0,
      slotsPerReplica: options.slots ?? 1,
      slotsKnown: options.slots !== undefined,
      slotsNeeded: 0,
      drainSlots: 0,
      queue: demand?.queue ?? 0,
      inflight: demand?.inflight ?? 0,
      expectedLate: 0,
      trim: 1,
      dispersion: 1,
      startMs: options.startMs,
      holdMs: options.stableMs,
      returns: 0,
      longestAbsenceMs: 0,
      reversals: 0,
    },
  } as const
  return { ...decision, sentence: sentence(decision, options) }
}

function frame(
  { desired, from, at }: { desired: number; from: number; at: number },
  demand: Demand | undefined,
  { min, max }: ScaleOptions,
): Pick<Decision, 'at' | 'desired' | 'from' | 'ready' | 'starting' | 'min' | 'max' | 'direction'> {
  const direction = desired > from ? 'up' : desired < from ? 'down' : 'stay'
  const starting = demand?.replicas.startingMs.length ?? 0
  return { at, desired, from, ready: demand?.replicas.ready ?? 0, starting, min, max, direction }
}
