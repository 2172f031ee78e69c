/**
 * Decides how many replicas a pool should have. Pure: it maps the memory, the measurements and the time to the next
 * memory and a decision. Read this file first; it goes
 *
 *   observe → size → foresee → correct → move
 *
 * Demand is the misses only. A queueing model says how many slots keep the p95 inside the SLO, so that the margin is
 * wide for a small pool and narrow for a large one. Times are wall times, never ticks: deciding more often changes
 * nothing.
 */

import { isLossFresh } from './cache-loss.ts'
import { type CorrectMemory, correct, isAwaited, isLate, tryMove } from './correct.ts'
import type { Decision, Reason } from './decision.ts'
import type { Demand, ScaleOptions } from './demand.ts'
import { serviceAt } from './learn.ts'
import { holdTime } from './load-recurrence.ts'
import { begin, isCalled, observe, type ScaleMemory } from './memory.ts'
import { move, noteWant } from './moves.ts'
import { expectedLate, isFeasible, waitBudgetMs } from './plan.ts'
import { notePressure, type PressureMemory } from './pressure.ts'
import { bare, report } from './report.ts'
import { rule } from './rule.ts'
import { clamp, offeredRate, replicasAt, type Sized, size } from './size.ts'
import { estimateSlots, rememberSlots, type SlotEstimate, withOverload } from './slot-estimate.ts'
import { estimateTokens, type TokenFacts } from './token-estimate.ts'

export type { ScaleMemory } from './memory.ts'

export interface Decided {
  readonly memory: ScaleMemory | undefined
  readonly decision: Decision
}

/**
 * The next decision for a pool.
 *
 * @param memory what the last call returned; undefined at the start
 * @param newest the newest report; undefined when none came. A report seen before adds nothing, an old one decides nothing
 * @param now monotonic milliseconds, on the clock of `newest.at`
 */
export function decide(
  memory: ScaleMemory | undefined,
  newest: Demand | undefined,
  options: ScaleOptions,
  now: number,
): Decided {
  if (!newest || now - newest.at > options.staleMs) return hold(memory, newest, options, now)
  const fresh = isKnown(memory, newest) ? withoutCounts(newest) : newest
  const demand = options.itlMs === undefined ? fresh : ofTokens(fresh, memory?.tokens.waiting ?? 0)
  const seen = observe(memory ?? begin(demand, options), demand, options)
  const estimate = slotEstimate(seen, demand, options)
  if (!estimate) return wake(seen, demand, options)
  const isLearnt = options.slots === undefined && options.itlMs === undefined
  const remembering = isLearnt ? { ...seen, learnt: rememberSlots(seen.learnt, estimate) } : seen
  // Calls beyond the places of a replica that generates do not wait: they make the others slower, and new replicas do not relieve them.
  const isOverloaded = isLearnt && (estimate.isKnown || estimate.isFull)
  const adjusted = isOverloaded ? withOverload(demand, estimate.count, estimate.service.meanMs) : demand
  return settle(remembering, adjusted, size(remembering, adjusted, estimate, options), options)
}

/** Replicas for so many misses a second, by what was measured of a pool; undefined: it was never called. */
export function replicasFor(
  memory: ScaleMemory | undefined,
  demand: Demand,
  perSecond: number,
  options: ScaleOptions,
): number | undefined {
  const estimate = memory && slotEstimate(memory, demand, options)
  return estimate && replicasAt(memory, perSecond, estimate, options)
}

function isKnown(memory: ScaleMemory | undefined, demand: Demand): boolean {
  return memory?.at !== undefined && demand.at <= memory.at
}

/** A report that was seen before still gives the present state, but its counts are in the memory already. */
function withoutCounts(demand: Demand): Demand {
  return { ...demand, buckets: [], service: [], latency: [], startsMs: [], streams: undefined }
}

/**
 * Of generations the time to the first token is what counts, and calls that wait in a backend wait. Any call does so until the next
 * step of its backend: only those count that are matched by the report before, `before`.
 */
function ofTokens(demand: Demand, before: number): Demand {
  const waiting = Math.min(before, demand.reported?.waiting ?? 0, demand.inflight)
  return {
    ...demand,
    latency: demand.streams?.latency ?? [],
    queue: demand.queue + waiting,
    inflight: demand.inflight - waiting,
  }
}

function slotEstimate(
  { learnt, tokens, load }: ScaleMemory,
  demand: Demand,
  options: ScaleOptions,
): (SlotEstimate & { readonly tokens?: TokenFacts }) | undefined {
  const { slots, itlMs } = options
  if (itlMs !== undefined) return estimateTokens(tokens, demand, { load, rate: offeredRate(load) }, options)
  if (slots === undefined) return estimateSlots(learnt, demand)
  const service = serviceAt(learnt, slots)
  return service && { count: slots, isKnown: true, isFull: false, service }
}

/** Compares the plan with the measurements, then moves or stays. */
function settle(memory: ScaleMemory, demand: Demand, sized: Sized, options: ScaleOptions): Decided {
  const now = memory.at ?? demand.at
  const late = expectedLate(
    sized.rate.perSecond,
    demand.replicas.ready * sized.facts.slots,
    sized.facts,
    options,
  )
  const pressure = press(memory, demand, sized, options)
  const corrected = check(memory, demand, { ...sized, late, isPanic: pressure.isPanic }, options)
  const wanted = { at: now, replicas: sized.needed }
  const moves = noteWant(memory.moves, wanted, options, sized.startMs)
  const holdMs = holdTime(moves.absences, options, sized.startMs)
  const { desired, reason } = rule(
    {
      ...sized,
      now,
      moves,
      holdMs,
      isPanic: pressure.isPanic,
      isUnsettled: demand.replicas.startingMs.length > sized.stuck || demand.replicas.slow > 0,
      isCacheFresh: isLossFresh(memory.cache, demand, options),
      isAwaited: isAwaited(corrected, { now, perSecond: sized.rate.perSecond }, options),
      isLate: isLate(corrected),
      ready: demand.replicas.ready,
      failures: corrected.failures,
      ineffectiveAbove: corrected.ineffectiveRate,
    },
    options,
  )
  const moved = move(moves, desired, options, now)
  const { perSecond } = sized.rate
  const trial = { at: now, perSecond, replicas: desired, serviceMs: sized.facts.service.meanMs }
  const next = {
    ...memory,
    pressure,
    // Whether more replicas help is not asked of generations: those that began before go on as they are, and the pace of the others shows it.
    correct:
      desired > moves.desired && options.itlMs === undefined ? tryMove(corrected, trial, options) : corrected,
    moves: moved,
  }
  return {
    memory: next,
    decision: report(next, demand, { from: moves.desired, reason, sized, late, holdMs }, options),
  }
}

function press(memory: ScaleMemory, demand: Demand, sized: Sized, options: ScaleOptions): PressureMemory {
  const { service, slots } = sized.facts
  const { ready, startingMs } = demand.replicas
  const isBound = options.sloMs !== undefined && isFeasible(service, options)
  return notePressure(
    memory.pressure,
    {
      demand,
      load: memory.load,
      slots: ready * slots,
      waitBudgetMs: isBound ? waitBudgetMs(service, options.sloMs) : service.meanMs,
      isComplete: ready + startingMs.length >= memory.moves.desired,
    },
    options,
  )
}

function check(
  memory: ScaleMemory,
  demand: Demand,
  sized: Sized & { late: number; isPanic: boolean },
  options: ScaleOptions,
): CorrectMemory {
  const { ready, startingMs } = demand.replicas
  return correct(
    memory.correct,
    {
      demand,
      perSecond: sized.rate.perSecond,
      serviceMs: sized.facts.service.meanMs,
      // After a burst, calls that waited for the new replicas say nothing about the plan.
      isPlanFine: sized.late <= 0.05 && !sized.isPanic && sized.drain === 0 && startingMs.length === 0,
      replicas: ready,
      isInfeasible: !isFeasible(sized.facts.service, options),
    },
    options,
  )
}

/** Nothing usable was measured: stay where the pool is. */
function hold(
  memory: ScaleMemory | undefined,
  demand: Demand | undefined,
  options: ScaleOptions,
  now: number,
): Decided {
  const desired = clamp(memory?.moves.desired ?? present(demand), options)
  const reason: Reason = memory || demand ? 'hold_stale' : 'hold_no_data'
  return { memory, decision: bare({ desired, from: desired, reason, at: now }, demand, options) }
}

/**
 * No service time is known yet: the first call starts a pool at zero, and replicas that were never called are removed
 * in time.
 */
function wake(memory: ScaleMemory, demand: Demand, options: ScaleOptions): Decided {
  const from = memory.moves.desired
  const quietMs = demand.at - memory.calledAt
  const { expected } = demand
  const announced = expected ? clamp(Math.max(1, expected.replicas ?? 1), options) : 0
  const isIdle = options.min === 0 && quietMs >= options.zeroAfterMs && !expected
  let desired = from
  let reason: Reason = 'hold_no_data'
  if (announced > from) [desired, reason] = [announced, 'rollout']
  else if (from === 0 && isCalled(demand)) [desired, reason] = [clamp(1, options), 'woken']
  else if (isIdle) [desired, reason] = [0, 'idle']
  else if (quietMs >= options.downMs && from > 1 && !expected)
    [desired, reason] = [clamp(1, options), 'load_fell']
  const next = { ...memory, moves: move(memory.moves, desired, options, demand.at) }
  return { memory: next, decision: bare({ desired, from, reason, at: demand.at }, demand, options) }
}

function present(demand: Demand | undefined): number {
  return demand === undefined ? 0 : demand.replicas.ready + demand.replicas.startingMs.length
}
