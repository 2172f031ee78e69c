/**
 * Sizes a replica that generates tokens. It works on all its calls at once (continuous batching), and each further call makes every
 * token of the others later: the pause between tokens grows with them, as it was measured. So a replica has as many places
 * as keep the pause inside its promise, or as its memory has room for. A generation holds a place for its prefill and
 * then for as many pauses as it has tokens: a long one is more load than a short one. With that, the queueing model of places
 * says how many replicas keep the time to the first token.
 */
import { addBin, type StreamBin } from '../../core/load.ts'
import { bucketMs, quantileMs } from '../../lib/log-histogram.ts'
import type { Demand, ScaleOptions } from './demand.ts'
import type { Mass } from './erlang.ts'
import type { Service } from './learn.ts'
import { type LoadMemory, meanOf, type RateEstimate } from './load.ts'
import type { SlotEstimate } from './slot-estimate.ts'
import type { TokenMemory } from './token-learn.ts'

export interface TokenFacts {
  /** Pieces of a generation, on average. */
  readonly pieces: number
  /** The pause between two of them with all places taken. */
  readonly gapMs: number
  /** What bounds the places of a replica. */
  readonly boundBy: 'itl' | 'memory' | 'declared'
}

export interface TokenEstimate extends SlotEstimate {
  readonly tokens: TokenFacts
}

/** A concurrency, and the mean pause between tokens at it. */
interface Point {
  readonly n: number
  readonly ms: number
}

interface Pace {
  /** By concurrency, rising; at least one. */
  readonly points: readonly Point[]
  /** Milliseconds for each further call beyond the last point. */
  readonly slope: number
  /** It was measured with few and with many calls. */
  readonly isKnown: boolean
  /** What 95 % of the pauses stay under, over their mean. */
  readonly spread: number
}

/** Pauses of a bin that is used. */
const FEWEST = 256
/** Least factor between concurrencies by which the slope is known. */
const APART = 1.7
/** How far beyond what was seen the line is followed. */
const BEYOND = 2
/** Share of a replica's memory that is planned with; the rest is for generations that grow. */
const MEMORY_SHARE = 0.9
/** Over so long the calls that run now are averaged. */
const PRESENT_MS = 5_000

/** What is known of the load besides the memory of tokens. */
export interface TokenLoad {
  readonly load: LoadMemory
  readonly rate: RateEstimate
}

/** Undefined until generations have shown their pace. */
export function estimateTokens(
  memory: TokenMemory,
  demand: Demand,
  { load, rate }: TokenLoad,
  options: ScaleOptions,
): TokenEstimate | undefined {
  const pace = paceOf(memory.bins)
  const itlMs = options.itlMs
  if (!pace || itlMs === undefined) return undefined
  const wanted = placesWithin(pace, itlMs / pace.spread)
  const isFeasible = wanted >= 1
  const most = pace.points.at(-1)?.n ?? 1
  const farthest = pace.isKnown ? most * BEYOND : most
  const room = memory.room === undefined ? Number.POSITIVE_INFINITY : memory.room * MEMORY_SHARE
  const declared = options.slots ?? Number.POSITIVE_INFINITY
  const count = Math.max(1, Math.floor(Math.min(wanted, farthest, room, declared)))
  const boundBy = count >= Math.floor(declared) ? 'declared' : count >= Math.floor(room) ? 'memory' : 'itl'
  const ready = Math.max(1, demand.replicas.ready)
  const each = demand.inflight / ready
  const isFull = each >= count || (demand.reported?.waiting ?? 0) > 0
  const gapMs = gapAt(pace, count)
  const pieces = memory.finished > 0 ? memory.pieces / memory.finished : 1
  const service = serviceOf(memory, { count, gapMs, pieces, isFeasible })
  if (!service) return undefined
  const slowed = gapMs / gapAt(pace, Math.max(1, each))
  const running = meanOf(load, 'concurrency', PRESENT_MS) * Math.min(1, slowed)
  return {
    count,
    isKnown: boundBy !== 'itl' || wanted <= farthest,
    isFull,
    service: { ...service, meanMs: heldMs(service.meanMs, running, rate.perSecond) },
    tokens: { pieces, gapMs, boundBy },
  }
}

/** Standard deviations that the calls which run must be beyond those expected, to tell of longer ones. */
const BEYOND_CHANCE = 2

/**
 * How long a place is held: by the generations that have ended, or, by Little's law, by those that run now where they are more than that
 * explains: they are longer than those before. `running`: as many as there
 * would be were they not slowed down by having no place.
 */
function heldMs(endedMs: number, running: number, perSecond: number): number {
  const expected = (perSecond * endedMs) / 1000
  if (perSecond <= 0 || running <= expected + BEYOND_CHANCE * Math.sqrt(expected)) return endedMs
  return (running * 1000) / perSecond
}

/** The mean pause with `inflight` calls at a replica: between the points as they lie, beyond the last along the slope. */
function gapAt({ points, slope }: Pace, inflight: number): number {
  const above = points.findIndex(({ n }) => n >= inflight)
  const last = points.at(-1) as Point
  if (above === -1) return last.ms + slope * (inflight - last.n)
  const [low, high] = [points[above - 1], points[above] as Point]
  if (!low) return high.ms
  return low.ms + ((high.ms - low.ms) * (inflight - low.n)) / (high.n - low.n)
}

/** With how many calls the mean pause is `ms`; below 1: with none. */
function placesWithin({ points, slope }: Pace, ms: number): number {
  const over = points.findIndex((point) => point.ms > ms)
  const last = points.at(-1) as Point
  if (over === -1) return last.n + (ms - last.ms) / Math.max(slope, 1e-6)
  const [low, high] = [points[over - 1], points[over] as Point]
  // Below the least that was seen it may be as good as in proportion.
  if (!low) return (high.n * ms) / high.ms
  return low.n + ((high.n - low.n) * (ms - low.ms)) / (high.ms - low.ms)
}

function paceOf(bins: readonly StreamBin[]): Pace | undefined {
  const used = bins.filter(({ gaps }) => gaps >= FEWEST)
  const points = used.map((bin) => ({ n: bin.sumInflight / bin.gaps, ms: bin.sumGapMs / bin.gaps }))
  const [first] = points
  const last = points.at(-1)
  if (!first || !last) return undefined
  const isKnown = last.n >= first.n * APART
  // From one concurrency nobody knows the slope: in proportion to the calls is the worst that it can be.
  const worst = last.ms / last.n
  const slope = isKnown ? Math.min(worst, Math.max(0, (last.ms - first.ms) / (last.n - first.n))) : worst
  return { points, slope, isKnown, spread: spreadOf(used) }
}

/** A bin of an hour counts no more than some others together, or one concurrency would decide alone. */
const weight = ({ gaps }: StreamBin): number => Math.min(gaps, 20_000)

const NORMAL_P95 = 1.645
const MOST_SPREAD = 1.5

function spreadOf(bins: readonly StreamBin[]): number {
  const total = sum(bins, weight)
  const scv =
    sum(bins, (bin) => weight(bin) * Math.max(0, (bin.sumGapSquaresMs * bin.gaps) / bin.sumGapMs ** 2 - 1)) /
    total
  return Math.min(MOST_SPREAD, 1 + NORMAL_P95 * Math.sqrt(scv))
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}

interface HeldPlace {
  readonly count: number
  readonly gapMs: number
  readonly pieces: number
  readonly isFeasible: boolean
}

/**
 * How long a place is held; `masses` and `p95Ms` are the time to the first piece without a wait, which the promise is about: that of calls
 * which found a place.
 */
function serviceOf(
  { bins, finished, squaredPieces }: TokenMemory,
  { count, gapMs, pieces, isFeasible }: HeldPlace,
): Service | undefined {
  const begun = bins.filter(({ firsts }) => firsts > 0)
  const free = begun.filter(({ inflight }) => inflight <= count)
  // Where all found too many there, those of the fewest are the best estimate there is.
  const [first, ...others] = free.length > 0 ? free : begun.slice(0, 1)
  if (!first) return undefined
  const all = others.reduce(addBin, first)
  const masses: Mass[] = []
  Array.from(all.first, (n, i) => n > 0 && masses.push({ ms: bucketMs(i), share: n / all.firsts }))
  const mean = Math.max(1, pieces)
  return {
    meanMs: all.sumFirstMs / all.firsts + (mean - 1) * gapMs,
    scv: finished > 0 ? Math.max(0, squaredPieces / finished / mean ** 2 - 1) : 0,
    p95Ms: quantileMs(all.first, 0.95) ?? 0,
    // Where no number of replicas keeps the pause, the pool is sized by utilisation, as where service alone is too slow.
    masses: isFeasible ? masses : [{ ms: Number.POSITIVE_INFINITY, share: 1 }],
  }
}
