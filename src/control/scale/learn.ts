/**
 * What the scaler learns of the backends: service times, how many calls a replica bears at a time, and how long a
 * replica takes to start.
 */
import { bucketMs, HISTOGRAM_SIZE, quantileMs } from '../../lib/log-histogram.ts'
import type { Demand, ServiceBin } from './demand.ts'
import type { Mass } from './erlang.ts'

/** Sums that fade: each counts half after its half-life. */
export interface Faded {
  readonly count: number
  readonly sumMs: number
  readonly sumSquaresMs: number
  readonly histogram: Float64Array
}

export interface LearnMemory {
  /** One for each number in flight that was seen, in rising order. */
  readonly bins: readonly (Faded & { readonly inflight: number })[]
  /** Start times seen, milliseconds, the newest last; bounded. */
  readonly startsMs: readonly number[]
}

export const NOTHING_LEARNT: LearnMemory = { bins: [], startsMs: [] }

const HALF_LIFE_MS = 120_000
const FEW = 20
const MAX_STARTS = 32

export function learn(memory: LearnMemory, demand: Demand, elapsedMs: number): LearnMemory {
  const startsMs = [...memory.startsMs, ...demand.startsMs].slice(-MAX_STARTS)
  // Without fresh calls nothing fades: what was known before a quiet night is the best there is in the morning.
  if (!demand.service.some(({ count }) => count > 0)) return { ...memory, startsMs }
  const fade = 0.5 ** (elapsedMs / HALF_LIFE_MS)
  const fresh = new Map<number, ServiceBin[]>()
  for (const bin of demand.service) {
    const inflight = binOf(bin.inflight)
    fresh.set(inflight, [...(fresh.get(inflight) ?? []), bin])
  }
  const bins = memory.bins.map((bin) => {
    const added = fresh.get(bin.inflight) ?? []
    fresh.delete(bin.inflight)
    return { inflight: bin.inflight, ...add(bin, fade, added) }
  })
  for (const [inflight, added] of fresh) bins.push({ inflight, ...add(NONE, 0, added) })
  bins.sort((a, b) => a.inflight - b.inflight)
  return { bins: bins.filter((bin) => bin.count > 0.5), startsMs }
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

/** In-flight numbers are told apart up to 4 and then in steps of half an octave: 1, 2, 3, 4, 6, 8, 12, 16 … */
export function binOf(inflight: number): number {
  if (inflight <= 4) return Math.max(1, inflight)
  const octave = 2 ** Math.floor(Math.log2(inflight))
  return inflight >= octave * 1.5 ? octave * 1.5 : octave
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
  // Overloaded from the first call on: the least loaded bin is the nearest to the truth there is.
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

/**
 * How many calls at a time a replica bears: the highest number in flight whose service p95, made monotonic by the pool of adjacent
 * violators (Ayer et al. 1955), stays within `budgetMs`. A quarter beyond what was seen good at most; undefined until enough calls were seen.
 */
export function learnSlots(memory: LearnMemory, budgetMs: number): number | undefined {
  const seen = memory.bins.filter((bin) => bin.count >= FEW)
  if (seen.length === 0) return undefined
  const p95 = seen.map((bin) => quantileMs(bin.histogram, 0.95) ?? 0)
  const rising = isotonic(
    p95,
    seen.map((bin) => bin.count),
  )
  let good = 0
  seen.forEach((bin, i) => {
    if ((rising[i] ?? Number.POSITIVE_INFINITY) <= budgetMs) good = bin.inflight
  })
  const isOpenAbove = seen.at(-1)?.inflight === good
  return Math.max(1, isOpenAbove ? Math.floor(good * 1.25) : good)
}

/** The nearest rising sequence in weighted least squares (pool adjacent violators). */
export function isotonic(values: readonly number[], weights: readonly number[]): number[] {
  const blocks: { value: number; weight: number; length: number }[] = []
  values.forEach((value, i) => {
    blocks.push({ value, weight: weights[i] ?? 1, length: 1 })
    for (;;) {
      const [last, before] = [blocks.at(-1), blocks.at(-2)]
      if (!last || !before || before.value <= last.value) break
      const weight = before.weight + last.weight
      const pooled = (before.value * before.weight + last.value * last.weight) / weight
      blocks.splice(-2, 2, { value: pooled, weight, length: before.length + last.length })
    }
  })
  return blocks.flatMap(({ value, length }) => new Array<number>(length).fill(value))
}

/** The p90 of the start times seen, or `assumedMs` while fewer than three are known. */
export function startTime(memory: LearnMemory, assumedMs: number): number {
  if (memory.startsMs.length < 3) return Math.max(assumedMs, ...memory.startsMs)
  const sorted = [...memory.startsMs].sort((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * 0.9) - 1] ?? assumedMs
}
