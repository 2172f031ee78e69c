/**
 * Estimates how many calls a replica serves at a time (its slots), where it does not declare that.
 *
 * A replica with m slots serves more calls a second the more it has, up to m. Further calls wait, in it or for its
 * processor, and each call takes longer in proportion. So a replica is full when more concurrent calls no longer mean
 * more calls served. Its slots are then the calls served a second times the service time without waiting (Little 1961).
 * Before that was seen, the most that was served is a lower bound.
 */
import type { Demand } from './demand.ts'
import { type LearnMemory, type LoadedBin, type Service, serviceAt } from './learn.ts'

export interface SlotEstimate {
  /** Slots of a replica; a lower bound where they are not known. */
  readonly count: number
  readonly isKnown: boolean
  /** Replicas were seen to be full, although perhaps by too few calls to know the number. */
  readonly isFull: boolean
  readonly service: Service
}

/** Fewest calls of a bin that is used. */
const FEWEST = 5
/** Least factor between two concurrencies that are compared: between neighbours, noise is larger than the effect. */
const APART = 1.7
/**
 * Elasticity of the throughput: 1 while there are free slots, 0 once there are none. Below the first bound the replica
 * is full, and it must be beyond doubt that it is below the second.
 */
const FULL = 0.35
const SURELY = 0.75
/** Standard errors for a comparison beyond doubt. */
const SURE = 2.5
/** More busy slots than this multiple of the known ones mean that there are more. */
const BEYOND = 1.2
/** Share of busy slots below which no call waits. */
const CLEARLY_FEWER = 0.8
/** Fewest calls for a reliable result. */
const ENOUGH = 50
/** Fewest calls of full replicas for a reliable rate. */
const COUNTED = 20
/** Share of the bins' throughput that the counted one must reach to be used. */
const ALIKE = 0.85
/** Share of the highest concurrency seen from which on a replica counts as having all the calls it may get. */
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
  // The known number stays until clearly more was served.
  const known = memory.slots ?? 0
  const isKnown = seen <= known * BEYOND
  return { count: Math.max(seen, known), isKnown, isFull: false, service }
}

/** True where calls wait in the gateway because every replica has all the calls it may get. */
function hasAll({ queue, inflight, replicas }: Demand, bins: LearnMemory['bins']): boolean {
  const most = bins.at(-1)?.inflight ?? 1
  return queue > 0 && replicas.ready > 0 && inflight >= NEARLY * replicas.ready * most
}

/** Remembers the slots of a full replica, until more than that is served. */
export function rememberSlots(memory: LearnMemory, estimate: SlotEstimate | undefined): LearnMemory {
  if (!estimate || estimate.count === memory.slots) return memory
  if (estimate.isKnown) return { ...memory, slots: estimate.count }
  if (estimate.isFull) return memory
  const { slots: _, ...rest } = memory
  return rest
}

/** The demand with the calls beyond the replicas' slots moved to the queue: they wait, only not in the gateway. */
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

/** Throughput of a replica in calls a millisecond: that of a full one, or else the most that was seen. */
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
    // The counted throughput is more accurate, unless it is much less: failed calls are not counted, and an overloaded
    // replica is not always full.
    const counted = overloaded.count >= COUNTED ? overloaded.count / overloaded.replicaMs : 0
    return { perMs: counted >= ALIKE * perMs ? counted : perMs, isFull: true, calls }
  }
  const enough = points.filter(({ bin }) => bin.count >= ENOUGH)
  const usable = enough.length > 0 ? enough : points.length > 0 ? points : bins.map(pointOf)
  if (usable.length === 0) return undefined
  const calls = usable.reduce((sum, { bin }) => sum + bin.count, 0)
  return { perMs: Math.max(...usable.map(({ inflight, ms }) => inflight / ms)), isFull: false, calls }
}

/** Whether the throughput is hardly higher than at the next clearly lower concurrency. */
function isFull(point: Point, lower: readonly Point[]): boolean {
  const other = lower.findLast(({ inflight }) => inflight * APART <= point.inflight)
  if (!other) return false
  const more = Math.log(point.inflight / other.inflight)
  const served = 1 - Math.log(point.ms / other.ms) / more
  const doubt = Math.sqrt(point.error + other.error) / more
  return served <= FULL && served + SURE * doubt <= SURELY
}
