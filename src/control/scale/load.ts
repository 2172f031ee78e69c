/**
 * The load in the stable window, in buckets of a tenth of a second, and its statistics: arrival rate, burstiness,
 * pile-up.
 *
 * The rate is the mean over the longest stretch of the past that agrees with every shorter one. Under steady load that
 * is the whole stable window; after a step it shrinks to the second since the step and grows again. One rule thus
 * serves as slow window, fast window and change detector, in both directions.
 */
import { BUCKET_MS, type Demand } from './demand.ts'

export interface LoadMemory {
  /** Ring of buckets in four columns; never written once it is in a memory. */
  readonly offered: Float64Array
  readonly answered: Float64Array
  readonly concurrency: Float64Array
  readonly rise: Float64Array
  /** Place of the next bucket. */
  readonly head: number
  readonly filled: number
}

export function emptyLoad(windowMs: number): LoadMemory {
  const size = Math.max(10, Math.round(windowMs / BUCKET_MS))
  const column = () => new Float64Array(size)
  return { offered: column(), answered: column(), concurrency: column(), rise: column(), head: 0, filled: 0 }
}

/** The memory with a report's buckets added. */
export function addLoad(memory: LoadMemory, demand: Demand): LoadMemory {
  if (demand.buckets.length === 0) return memory
  const size = memory.offered.length
  const next = {
    offered: memory.offered.slice(),
    answered: memory.answered.slice(),
    concurrency: memory.concurrency.slice(),
    rise: memory.rise.slice(),
  }
  let { head } = memory
  for (const bucket of demand.buckets) {
    next.offered[head] = bucket.offered
    next.answered[head] = bucket.answered
    next.concurrency[head] = bucket.concurrency
    next.rise[head] = bucket.rise
    head = (head + 1) % size
  }
  return { ...next, head, filled: Math.min(size, memory.filled + demand.buckets.length) }
}

export type LoadColumn = 'offered' | 'answered' | 'concurrency' | 'rise'

/** The sum of a column over the last `buckets` buckets, as far as they are filled. */
export function sumOf(memory: LoadMemory, column: LoadColumn, buckets: number): number {
  const values = memory[column]
  const size = values.length
  let sum = 0
  for (let i = 1; i <= Math.min(buckets, memory.filled); i++)
    sum += values[(memory.head - i + size) % size] ?? 0
  return sum
}

/** The mean of a column over the last `windowMs`. */
export function meanOf(memory: LoadMemory, column: LoadColumn, windowMs: number): number {
  const buckets = Math.min(memory.filled, Math.max(1, Math.round(windowMs / BUCKET_MS)))
  return buckets === 0 ? 0 : sumOf(memory, column, buckets) / buckets
}

/** How many standard deviations apart two windows must be to count as different loads. About one false alarm in a day of ticks. */
const APART = 4.5

export interface RateEstimate {
  readonly perSecond: number
  /** Over how much of the past it holds, milliseconds. */
  readonly windowMs: number
}

/**
 * Arrivals a second, now. From the longest window down, a window is left for a shorter one when the two differ by more
 * than chance explains: 2·|√n - √μ| is about normal for a Poisson count n of mean μ (Anscombe 1948), and `dispersion`
 * widens it for burstier streams.
 */
export function presentRate(
  memory: LoadMemory,
  columns: readonly LoadColumn[],
  dispersion: number,
): RateEstimate {
  const windows = shrinking(memory.filled)
  const counts = countsOver(memory, columns, windows)
  const spread = Math.sqrt(Math.max(1, dispersion))
  let chosen = 0
  for (let i = 1; i < windows.length; i++) {
    const expected = ((counts[chosen] ?? 0) * (windows[i] ?? 1)) / (windows[chosen] ?? 1)
    const apart = (2 * Math.abs(Math.sqrt(counts[i] ?? 0) - Math.sqrt(expected))) / spread
    if (apart > APART) chosen = i
  }
  const buckets = windows[chosen] ?? 0
  if (buckets === 0) return { perSecond: 0, windowMs: 0 }
  return { perSecond: ((counts[chosen] ?? 0) * 1000) / (buckets * BUCKET_MS), windowMs: buckets * BUCKET_MS }
}

/** Standard deviations by which the halves of a window must differ to show a rise. A false one costs a per cent or two of load. */
const RISING = 2.5

/**
 * Misses a second `leadMs` from now, if the load goes on rising as it does; the present rate when it does not rise. Capacity asked for
 * now serves only then, and the mean of a window is as old as its middle.
 */
export function rateAhead(
  memory: LoadMemory,
  present: RateEstimate,
  dispersion: number,
  leadMs: number,
): number {
  const half = Math.floor(present.windowMs / BUCKET_MS / 2)
  // A short window means a step, which is not extrapolated.
  if (present.windowMs < 30_000) return present.perSecond
  const late = sumOf(memory, 'offered', half)
  const early = sumOf(memory, 'offered', 2 * half) - late
  const apart = (Math.SQRT2 * (Math.sqrt(late) - Math.sqrt(early))) / Math.sqrt(Math.max(1, dispersion))
  if (apart < RISING) return present.perSecond
  const halfMs = half * BUCKET_MS
  const slope = ((late - early) * 1000) / halfMs / halfMs
  const ahead = (late * 1000) / halfMs + slope * (halfMs / 2 + leadMs)
  return Math.min(ahead, present.perSecond * 2)
}

/** Whole window, then about 7/10 as long each time, down to half a second. */
function shrinking(filled: number): number[] {
  const windows: number[] = []
  for (let buckets = filled; buckets >= 5; buckets = Math.floor(buckets * 0.7)) windows.push(buckets)
  if (windows.length === 0 && filled > 0) windows.push(filled)
  return windows
}

/** What came in each of `windows`, longest first, in one walk from the newest bucket back. */
function countsOver(
  memory: LoadMemory,
  columns: readonly LoadColumn[],
  windows: readonly number[],
): number[] {
  const size = memory.offered.length
  const counts = new Array<number>(windows.length).fill(0)
  for (const column of columns) {
    const values = memory[column]
    let sum = 0
    let at = memory.head
    let next = windows.length - 1
    for (let age = 1; next >= 0; age++) {
      at = at === 0 ? size - 1 : at - 1
      sum += values[at] ?? 0
      if (age !== windows[next]) continue
      counts[next] = (counts[next] ?? 0) + sum
      next--
    }
  }
  return counts
}

/**
 * Variance over mean of the arrivals in a bucket, from the differences of neighbouring buckets (Allan variance), so that
 * a step or a ramp does not pass for burstiness. 1 for Poisson; between 1 and 8.
 */
export function dispersionOf(memory: LoadMemory): number {
  const { offered, filled, head } = memory
  const size = offered.length
  let squares = 0
  let sum = 0
  let before = 0
  for (let i = 0; i < filled; i++) {
    const count = offered[(head - filled + i + size) % size] ?? 0
    if (i > 0) squares += (count - before) ** 2
    sum += count
    before = count
  }
  if (sum < 100 || filled < 20) return 1
  return Math.min(8, Math.max(1, squares / 2 / (filled - 1) / (sum / filled)))
}

/** How many calls there are at the backends and waiting: the mean, and what 95 % of the tenths of a second stay under. */
export function concurrencyOf(memory: LoadMemory): { readonly mean: number; readonly p95: number } {
  const { concurrency, filled } = memory
  if (filled === 0) return { mean: 0, p95: 0 }
  // The ring is full, or filled from its beginning.
  const sorted = concurrency.slice(0, filled).sort()
  return { mean: sorted.reduce((a, b) => a + b, 0) / filled, p95: sorted[Math.ceil(filled * 0.95) - 1] ?? 0 }
}

/**
 * The pile-up that all but `share` of the calls stay under: the quantile of the buckets' rises, each weighted with its
 * arrivals. A burst of ten a second is invisible in every mean, but it is most of the calls.
 */
export function pileUp(memory: LoadMemory, share: number): number {
  const { offered, rise, filled, head } = memory
  const size = offered.length
  const weights = new Float64Array(HIGHEST + 1)
  let total = 0
  for (let i = 1; i <= filled; i++) {
    const at = (head - i + size) % size
    const level = Math.min(HIGHEST, Math.round(rise[at] ?? 0))
    const weight = offered[at] ?? 0
    weights[level] = (weights[level] ?? 0) + weight
    total += weight
  }
  let above = 0
  for (let level = HIGHEST; level > 0; level--) {
    above += weights[level] ?? 0
    if (above > total * share) return level
  }
  return 0
}

/** Higher pile-ups are counted as this high. */
const HIGHEST = 1023
