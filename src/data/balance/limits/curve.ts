/**
 * A concurrency limit for backends that batch. With more concurrent calls both their latency and their throughput rise, and
 * a gradient would take the first for overload. So the curve itself is recorded, latency and throughput by concurrency,
 * and the limit is the highest concurrency that still answers in time and still gains throughput.
 */
import { LATENCY_BUCKETS, latencyBucket, quantileOf } from '../../../lib/window.ts'

export interface CurveOptions {
  /** The longest a call may take at p95. */
  readonly serviceMs: number
  /** Default 4. */
  readonly initial?: number
  /** Default 1024. */
  readonly max?: number
}

/** The steps into which concurrency is divided. */
const STEPS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024] as const
const ENOUGH = 20
const HALF_LIFE_MS = 600_000
/** Each doubling of concurrency must bring this much more throughput. */
const GAIN = 0.05
/** How far above the highest concurrency known to be good the limit may go, to learn more. */
const REACH = 1.25

export class ConcurrencyCurve {
  readonly #options: Required<CurveOptions>
  readonly #histograms = STEPS.map(() => new Float64Array(LATENCY_BUCKETS))
  readonly #counts = new Float64Array(STEPS.length)
  readonly #sums = new Float64Array(STEPS.length)
  /** The highest concurrency seen in each step: the step's own number is its lower end. */
  readonly #most = new Float64Array(STEPS.length)
  #fadedAt = -Infinity

  constructor(options: CurveOptions) {
    this.#options = { initial: 4, max: 1_024, ...options }
  }

  /** A call took `ms` with `inflight` calls running, itself included. */
  observe(now: number, inflight: number, ms: number): void {
    this.#fade(now)
    const step = stepOf(inflight)
    const histogram = this.#histograms[step]
    const bucket = latencyBucket(ms)
    if (histogram) histogram[bucket] = (histogram[bucket] ?? 0) + 1
    this.#counts[step] = (this.#counts[step] ?? 0) + 1
    this.#sums[step] = (this.#sums[step] ?? 0) + ms
    this.#most[step] = Math.max(this.#most[step] ?? 0, inflight)
  }

  /** p95 by step of concurrency, made monotone; steps with too few calls are left out. */
  latencies(): readonly { readonly inflight: number; readonly p95Ms: number; readonly perSecond: number }[] {
    const seen = STEPS.flatMap((inflight, step) => {
      const count = this.#counts[step] ?? 0
      const histogram = this.#histograms[step]
      if (count < ENOUGH || histogram === undefined) return []
      const meanMs = (this.#sums[step] ?? 0) / count
      return [
        {
          inflight,
          count,
          p95: quantileOf(histogram, 0, 0.95 * count),
          perSecond: (inflight * 1000) / meanMs,
        },
      ]
    })
    const level = isotonic(seen.map(({ p95, count }) => ({ value: p95, weight: count })))
    return seen.map(({ inflight, perSecond }, at) => ({ inflight, perSecond, p95Ms: level[at] ?? 0 }))
  }

  get limit(): number {
    const { serviceMs, initial, max } = this.#options
    const curve = this.latencies()
    if (curve.length === 0) return initial
    let best = 0
    let before: { inflight: number; perSecond: number } | undefined
    for (const point of curve) {
      if (point.p95Ms > serviceMs) return Math.min(max, Math.max(1, best))
      if (before !== undefined && isPlateau(before, point)) return Math.min(max, Math.max(1, best))
      best = point.inflight
      before = point
    }
    const most = this.#most[stepOf(best)] ?? best
    return Math.min(max, Math.max(most + 1, Math.floor(most * REACH)))
  }

  /** Old calls count less, since a new version of the model has another curve. */
  #fade(now: number): void {
    if (this.#fadedAt === -Infinity) this.#fadedAt = now
    const elapsed = now - this.#fadedAt
    if (elapsed < HALF_LIFE_MS / 60) return
    this.#fadedAt = now
    const keep = 0.5 ** (elapsed / HALF_LIFE_MS)
    for (const column of [...this.#histograms, this.#counts, this.#sums]) {
      for (let at = 0; at < column.length; at++) column[at] = (column[at] ?? 0) * keep
    }
  }
}

function stepOf(inflight: number): number {
  let step = 0
  while (step + 1 < STEPS.length && (STEPS[step + 1] ?? Infinity) <= inflight) step++
  return step
}

function isPlateau(
  before: { inflight: number; perSecond: number },
  point: { inflight: number; perSecond: number },
): boolean {
  const doublings = Math.log2(point.inflight / before.inflight)
  return point.perSecond < before.perSecond * (1 + GAIN * doublings)
}

/** The nearest non-decreasing series (pool adjacent violators). */
export function isotonic(
  points: readonly { readonly value: number; readonly weight: number }[],
): readonly number[] {
  const blocks: { value: number; weight: number; length: number }[] = []
  for (const { value, weight } of points) {
    let block = { value, weight, length: 1 }
    for (let last = blocks.at(-1); last !== undefined && last.value > block.value; last = blocks.at(-1)) {
      blocks.pop()
      const both = last.weight + block.weight
      const mean = (last.value * last.weight + block.value * block.weight) / both
      block = { value: mean, weight: both, length: last.length + block.length }
    }
    blocks.push(block)
  }
  return blocks.flatMap(({ value, length }) => Array<number>(length).fill(value))
}
