/**
 * Sizes a pool: slots for the present load, for an expected loss of cache and for a backlog, and replicas in place of
 * those that failed to start.
 */
import { type CacheMemory, foresee } from './cache-loss.ts'
import type { CorrectMemory } from './correct.ts'
import type { Reason } from './decision.ts'
import type { Demand, ScaleOptions } from './demand.ts'
import { type LearnMemory, startTime } from './learn.ts'
import { dispersionOf, type LoadMemory, pileUp, presentRate, type RateEstimate, rateAhead } from './load.ts'
import { backlogWhenReady, leastSlots, type PoolFacts, slotsNeeded, waitBudgetMs } from './plan.ts'
import type { SlotEstimate } from './slot-estimate.ts'
import type { TokenFacts } from './token-estimate.ts'

/** The parts of the memory that sizing reads. */
interface Known {
  readonly load: LoadMemory
  readonly learnt: LearnMemory
  readonly cache: CacheMemory
  readonly correct: CorrectMemory
  readonly calledAt: number
}

type Estimate = SlotEstimate & { readonly tokens?: TokenFacts }

/** Everything the moves are decided on. */
export interface Sized {
  readonly facts: PoolFacts
  readonly rate: RateEstimate
  readonly slots: number
  readonly drain: number
  /** Replicas without which too many calls would be late. */
  readonly needed: number
  /** Replicas to aim at, with those against a backlog and in place of failed ones. */
  readonly want: number
  readonly stuck: number
  readonly startMs: number
  readonly cause: Reason
  /** The slots of a replica are not known yet; `facts.slots` is a lower bound. */
  readonly isLearning: boolean
  /** The replicas were seen to be full. */
  readonly isFull: boolean
  /** Where the pool is sized by tokens. */
  readonly tokens: TokenFacts | undefined
}

/** Misses a second, now. */
export function offeredRate(load: LoadMemory): RateEstimate {
  return presentRate(load, ['offered'], dispersionOf(load))
}

/** Replicas for so many misses a second, by what is known of a pool. */
export function replicasAt(
  memory: Known,
  perSecond: number,
  estimate: Estimate,
  options: ScaleOptions,
): number {
  const facts = factsOf(memory, estimate)
  return clamp(Math.max(1, Math.ceil(slotsNeeded(perSecond, facts, options) / facts.slots - 1e-9)), options)
}

function factsOf({ load, correct }: Known, { service, count }: Estimate): PoolFacts {
  const dispersion = dispersionOf(load)
  return { service, slots: count, dispersion, pileUp: pileUp(load, 0.05), trim: correct.trim }
}

export function size(memory: Known, demand: Demand, estimate: Estimate, options: ScaleOptions): Sized {
  const facts = factsOf(memory, estimate)
  const { dispersion } = facts
  const rate = offeredRate(memory.load)
  const startMs = startTime(memory.learnt, options.startMs)
  const ahead = rateAhead(memory.load, rate, dispersion, startMs)
  const present = slotsNeeded(ahead, facts, options)
  const foreseen = foresee(memory.cache, { demand, load: memory.load, leadMs: 1.2 * startMs }, options)
  const future = foreseen ? slotsNeeded(foreseen.perSecond, facts, options) : 0
  const slots = Math.max(present, future)
  const least = leastSlots(Math.max(ahead, foreseen?.perSecond ?? 0), facts, options)
  const drain = drainSlots(memory, demand, { facts, rate, startMs, slots }, options)
  const stuck = demand.replicas.startingMs.filter((age) => age > 2 * startMs).length
  const isIdle = options.min === 0 && demand.at - memory.calledAt >= options.zeroAfterMs
  const fewest = isIdle ? 0 : 1
  const base = clamp(Math.max(fewest, Math.ceil(slots / facts.slots - 1e-9)), options)
  const needed = clamp(Math.max(fewest, Math.ceil(least / facts.slots - 1e-9)), options)
  const want = clamp(Math.max(base, Math.ceil((slots + drain) / facts.slots - 1e-9)) + stuck, options)
  const cause = causeOf({
    foreseen: future > present ? foreseen?.why : undefined,
    drain,
    stuck,
    base,
    want,
    facts,
  })
  const { isKnown, isFull, tokens } = estimate
  const isLearning = !isKnown
  return { facts, rate, slots, drain, needed, want, stuck, startMs, cause, isLearning, isFull, tokens }
}

function causeOf(seen: {
  foreseen: Reason | undefined
  drain: number
  stuck: number
  base: number
  want: number
  facts: PoolFacts
}): Reason {
  if (seen.foreseen) return seen.foreseen
  if (seen.stuck > 0 && seen.want === seen.base + seen.stuck) return 'start_failed'
  if (seen.drain > 0 && seen.want > seen.base) return 'backlog'
  return seen.facts.trim > 1 ? 'late_calls' : 'load_rose'
}

/** Slots to work off a backlog with; none for the queue that a well-sized pool has now and then. */
function drainSlots(
  memory: Known,
  demand: Demand,
  at: { facts: PoolFacts; rate: RateEstimate; startMs: number; slots: number },
  options: ScaleOptions,
): number {
  const { service } = at.facts
  const oldest = Math.max(0, ...demand.replicas.startingMs)
  const leadMs = Math.max(0, at.startMs - oldest)
  const serving = demand.replicas.ready * at.facts.slots
  const waiting = backlogWhenReady(
    { queue: demand.queue, perSecond: at.rate.perSecond, slots: serving, leadMs },
    service,
  )
  if (demand.queue === 0 || memory.correct.ineffectiveUntil !== undefined) return 0
  const waitMs = (waiting * service.meanMs) / Math.max(1, serving)
  const budget = options.sloMs === undefined ? options.drainMs : waitBudgetMs(service, options.sloMs)
  if (waitMs <= Math.max(budget, service.meanMs)) return 0
  // Replicas that are needed for less than half a start time would hardly serve as long as they took to start.
  return (waiting * service.meanMs) / Math.max(options.drainMs, 10 * (options.sloMs ?? 0), at.startMs / 2)
}

/** Never outside the bounds the operator set (S1). */
export function clamp(replicas: number, options: ScaleOptions): number {
  return Math.min(options.max, Math.max(options.min, replicas))
}
