/**
 * How many calls a replica serves at a time, where it does not say so.
 *
 * A replica with m places serves more calls a second the more it has, up to m; what comes beyond that waits, in it or for its processor, and
 * each call takes longer in proportion. So a replica is full when more calls at it no longer mean more calls served, and then
 * the calls served a second times the time a call takes that need not wait are its places (Little 1961). Until that was seen nobody
 * knows; the most that was seen to be served is what there is at least.
 */
import type { Demand } from './demand.ts'
import { type LearnMemory, type LoadedBin, type Service, serviceAt } from './learn.ts'

export interface SlotEstimate {
  /** Calls a replica serves at a time: at least so many where it is not known. */
  readonly count: number
  readonly isKnown: boolean
  /** Replicas were seen to be full, if only by few calls as long as the number is not known. */
  readonly isFull: boolean
  readonly service: Service
}

/** A bin with fewer calls says nothing. */
const FEWEST = 5
/** Loads are compared that differ by this factor at least: between neighbours, chance is larger than what is to be seen. */
const APART = 1.7
/**
 * How much of a rise in load is a rise in calls served: all of it (1) while there are places, nothing (0) once there are none.
 * Below this the replica is full, and it must be beyond doubt that it is below the second.
 */
const FULL = 0.35
const SURELY = 0.75
/** Standard errors of a comparison that is beyond doubt. */
const SURE = 2.5
/** More than this times the known places were busy: there are more. */
const BEYOND = 1.2
/** Replicas with this part of their places in use keep no call waiting. */
const CLEARLY_FEWER = 0.8
/** Calls from which on what they show is believed. */
const ENOUGH = 50
/** Calls of full replicas from which on their rate is believed. */
const COUNTED = 20
/** The part of what the bins say that a count must have. */
const ALIKE = 0.85
/** The part of the most calls that were ever at a replica from which on it has as many as it may be sent. */
const NEARLY = 0.8

/** Calls by load, as a point of the curve. */
interface Point {
  readonly inflight: number
  readonly ms: number
  /** Squared relative standard error of `ms`. */
  readonly error: number
  readonly bin: LoadedBin
}

/** Undefined until calls were seen. */
export function estimateSlots(memory: LearnMemory, demand: Demand): SlotEstimate | undefined {
  const points = memory.bins.filter(({ count }) => count >= FEWEST).map(pointOf)
  const best = throughput(memory, points)
  if (best === undefined) return undefined
  const { perMs, isFull, calls } = best
  const [idle] = memory.bins
  const first = idle ? (perMs * idle.sumMs) / idle.count : 1
  const service = serviceAt(memory, Math.max(1, CLEARLY_FEWER * first))
  if (!service) return undefined
  const seen = Math.max(1, Math.round(perMs * service.meanMs))
  if (isFull || hasAll(demand, memory.bins))
    return { count: seen, isKnown: calls >= ENOUGH, isFull: true, service }
  // What was known is known until clearly more than that was served.
  const known = memory.slots ?? 0
  const isKnown = seen <= known * BEYOND
  return { count: Math.max(seen, known), isKnown, isFull: false, service }
}

/** Calls wait in the gateway because every replica has as many as it may be sent: what it serves of them is what it serves. */
function hasAll({ queue, inflight, replicas }: Demand, bins: LearnMemory['bins']): boolean {
  const most = bins.at(-1)?.inflight ?? 1
  return queue > 0 && replicas.ready > 0 && inflight >= NEARLY * replicas.ready * most
}

/** What is to be remembered of the places: what was seen of a full replica, until more than that is seen to be served. */
export function rememberSlots(memory: LearnMemory, estimate: SlotEstimate | undefined): LearnMemory {
  if (!estimate || estimate.count === memory.slots) return memory
  if (estimate.isKnown) return { ...memory, slots: estimate.count }
  if (estimate.isFull) return memory
  const { slots: _, ...rest } = memory
  return rest
}

/** The demand, with the calls that are at the replicas beyond their places as what they are: they wait, only not in the gateway. */
export function withOverload(demand: Demand, slotsEach: number, serviceMs: number): Demand {
  const slots = (demand.replicas.ready + demand.replicas.draining) * slotsEach
  const excess = Math.max(0, demand.inflight - slots)
  if (slots === 0 || excess === 0) return demand
  return {
    ...demand,
    queue: demand.queue + excess,
    inflight: slots,
    oldestWaitMs: Math.max(demand.oldestWaitMs, (excess * serviceMs) / slots),
  }
}

function pointOf(bin: LoadedBin): Point {
  const ms = bin.sumMs / bin.count
  const scv = Math.max(0.01, bin.sumSquaresMs / bin.count / ms ** 2 - 1)
  return { inflight: bin.sumInflight / bin.count, ms, error: scv / bin.count, bin }
}

/** The calls a replica serves a millisecond: what a full one does, or else the most that was seen. */
function throughput(
  { bins, overloaded }: LearnMemory,
  points: readonly Point[],
): { perMs: number; isFull: boolean; calls: number } | undefined {
  const fullFrom = points.findIndex((point, i) => isFull(point, points.slice(0, i)))
  if (fullFrom >= 0) {
    const full = points.slice(fullFrom)
    const calls = full.reduce((sum, { bin }) => sum + bin.count, 0)
    const inflight = full.reduce((sum, { bin }) => sum + bin.sumInflight, 0)
    const perMs = inflight / full.reduce((sum, { bin }) => sum + bin.sumMs, 0)
    // What was counted is nearer to the truth, unless it is much less: failed calls are not counted, and crowded is not always full.
    const counted = overloaded.count >= COUNTED ? overloaded.count / overloaded.replicaMs : 0
    return { perMs: counted >= ALIKE * perMs ? counted : perMs, isFull: true, calls }
  }
  const enough = points.filter(({ bin }) => bin.count >= ENOUGH)
  const usable = enough.length > 0 ? enough : points.length > 0 ? points : bins.map(pointOf)
  if (usable.length === 0) return undefined
  const calls = usable.reduce((sum, { bin }) => sum + bin.count, 0)
  return { perMs: Math.max(...usable.map(({ inflight, ms }) => inflight / ms)), isFull: false, calls }
}

/** Whether hardly more is served here than at the next load that is clearly lower. */
function isFull(point: Point, lower: readonly Point[]): boolean {
  const other = lower.findLast(({ inflight }) => inflight * APART <= point.inflight)
  if (!other) return false
  const more = Math.log(point.inflight / other.inflight)
  const served = 1 - Math.log(point.ms / other.ms) / more
  const doubt = Math.sqrt(point.error + other.error) / more
  return served <= FULL && served + SURE * doubt <= SURELY
}
