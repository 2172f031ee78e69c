/** What the scaler learns about the backends: service time by concurrency, and the start time of a replica. */
import { binOf } from '../../core/load.ts'
import { bucketMs, HISTOGRAM_SIZE, quantileMs } from '../../lib/log-histogram.ts'
import { BUCKET_MS, type Demand, type ServiceBin } from './demand.ts'
import type { Mass } from './erlang.ts'

/** Exponentially decaying sums: each sample counts half after its half-life. */
export interface Faded {
  readonly count: number
  readonly sumMs: number
  readonly sumSquaresMs: number
  readonly histogram: Float64Array
}

/** Calls by the concurrency at the replica when they started. */
export interface LoadedBin extends Faded {
  readonly inflight: number
  /** The sum of those numbers: a bin holds several. */
  readonly sumInflight: number
}

/** Calls of overloaded replicas and the time of those replicas; both decay. */
export interface Overloaded {
  readonly count: number
  readonly replicaMs: number
  /** Replicas at the last report. */
  readonly replicas: number
}

export interface LearnMemory {
  /** One bin for each concurrency that was seen, in rising order. */
  readonly bins: readonly LoadedBin[]
  /** Slots of a replica, as last seen while it was overloaded. */
  readonly slots?: number
  /** What the replicas served while all of them were overloaded. */
  readonly overloaded: Overloaded
  /** Start times seen, milliseconds, the newest last; bounded. */
  readonly startsMs: readonly number[]
}

export const NOTHING_LEARNT: LearnMemory = {
  bins: [],
  startsMs: [],
  overloaded: { count: 0, replicaMs: 0, replicas: 0 },
}

const HALF_LIFE_MS = 120_000
const MAX_STARTS = 32

export function learn(memory: LearnMemory, demand: Demand, elapsedMs: number): LearnMemory {
  const startsMs = [...memory.startsMs, ...demand.startsMs].slice(-MAX_STARTS)
  const fresh = new Map<number, ServiceBin[]>()
  for (const bin of demand.service) {
    if (bin.count <= 0) continue
    const inflight = binOf(bin.inflight)
    fresh.set(inflight, [...(fresh.get(inflight) ?? []), bin])
  }
  // Without new calls nothing decays: after a quiet night, yesterday's values are the best there are.
  if (fresh.size === 0) return { ...memory, startsMs }
  // Bins below the present concurrency do not decay either: while a load keeps all replicas full, nothing else shows
  // the service time without waiting.
  const least = Math.min(...fresh.keys())
  const fade = 0.5 ** (elapsedMs / HALF_LIFE_MS)
  const bins = memory.bins.map((bin) => {
    const added = fresh.get(bin.inflight) ?? []
    fresh.delete(bin.inflight)
    return bin.inflight < least ? bin : addLoaded(bin, fade, added)
  })
  for (const [inflight, added] of fresh) bins.push(addLoaded({ ...NONE, inflight, sumInflight: 0 }, 0, added))
  bins.sort((a, b) => a.inflight - b.inflight)
  return {
    ...memory,
    bins: bins.filter((bin) => bin.count > 0.5),
    startsMs,
    overloaded: countOverloaded(memory, demand),
  }
}

/** Calls slower than this multiple of the service time at low concurrency had to wait: the replicas were full. */
const WAITED = 1.5
const OVERLOADED_HALF_LIFE_MS = 10_000

/**
 * Counts what overloaded replicas serve. A bin has the concurrency at the start of its calls. On replicas with
 * processor sharing, later calls slow those down, too, so that under a growing load replicas look slower than they are.
 */
function countOverloaded(
  { overloaded, bins }: LearnMemory,
  { service, buckets, replicas }: Demand,
): Overloaded {
  const count = service.reduce((sum, bin) => sum + bin.count, 0)
  const meanMs = service.reduce((sum, bin) => sum + bin.sumMs, 0) / count
  // Calls of replicas that are still warming up are not measured.
  const warm = replicas.ready - replicas.slow
  const [idle] = bins
  const isOverloaded = idle !== undefined && meanMs > (WAITED * idle.sumMs) / idle.count
  const ms = buckets.length * BUCKET_MS
  const replicaMs = ms * warm
  // Calls that ended in no time of any replica, in a report right behind another one or of replicas that have gone, say nothing.
  if (!isOverloaded || warm !== overloaded.replicas || replicaMs <= 0)
    return { ...overloaded, replicas: warm }
  const fade = 0.5 ** (ms / OVERLOADED_HALF_LIFE_MS)
  return {
    count: overloaded.count * fade + count,
    replicaMs: overloaded.replicaMs * fade + replicaMs,
    replicas: warm,
  }
}

function addLoaded(old: LoadedBin, fade: number, bins: readonly ServiceBin[]): LoadedBin {
  const sumInflight = bins.reduce(
    (sum, { inflight, count }) => sum + inflight * count,
    old.sumInflight * fade,
  )
  return { ...add(old, fade, bins), inflight: old.inflight, sumInflight }
}

const NONE: Faded = { count: 0, sumMs: 0, sumSquaresMs: 0, histogram: new Float64Array(HISTOGRAM_SIZE) }

function add(old: Faded, fade: number, bins: readonly ServiceBin[]): Faded {
  let count = old.count * fade
  let sumMs = old.sumMs * fade
  let sumSquaresMs = old.sumSquaresMs * fade
  const histogram = old.histogram.slice()
  if (fade !== 1) for (let i = 0; i < HISTOGRAM_SIZE; i++) histogram[i] = (histogram[i] ?? 0) * fade
  for (const bin of bins) {
    count += bin.count
    sumMs += bin.sumMs
    sumSquaresMs += bin.sumSquaresMs
    for (let i = 0; i < HISTOGRAM_SIZE; i++) histogram[i] = (histogram[i] ?? 0) + (bin.histogram[i] ?? 0)
  }
  return { count, sumMs, sumSquaresMs, histogram }
}

export interface Service {
  readonly meanMs: number
  /** Squared coefficient of variation. */
  readonly scv: number
  readonly p95Ms: number
  readonly masses: readonly Mass[]
}

/** Service times of a replica that is not overloaded: those with at most `slots` in flight. Undefined until some were seen. */
export function serviceAt(memory: LearnMemory, slots: number): Service | undefined {
  let chosen = memory.bins.filter((bin) => bin.inflight <= slots)
  // Where even the lowest bin is overloaded, it is the best estimate there is.
  if (chosen.length === 0) chosen = memory.bins.slice(0, 1)
  const all = chosen.reduce<Faded>((sum, bin) => add(sum, 1, [bin]), NONE)
  const p95Ms = quantileMs(all.histogram, 0.95)
  if (p95Ms === undefined) return undefined
  const meanMs = all.sumMs / all.count
  const masses: Mass[] = []
  all.histogram.forEach((n, i) => {
    if (n > 0) masses.push({ ms: bucketMs(i), share: n / all.count })
  })
  return { meanMs, scv: Math.max(0, all.sumSquaresMs / all.count / meanMs ** 2 - 1), p95Ms, masses }
}

/** The p90 of the start times seen, or `assumedMs` while fewer than three are known. */
export function startTime(memory: LearnMemory, assumedMs: number): number {
  if (memory.startsMs.length < 3) return Math.max(assumedMs, ...memory.startsMs)
  const sorted = [...memory.startsMs].sort((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * 0.9) - 1] ?? assumedMs
}
