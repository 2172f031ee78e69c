/**
 * Counts and quantiles over a sliding window of time, kept as a ring of slices that are dropped whole. Memory is fixed,
 * counts are exact, and there is no timer: every call passes the time.
 */

/** Finds which slice the time falls into, and which slices have expired since the last call. */
class SliceRing {
  readonly #slices: number
  readonly #sliceMs: number
  #epoch = -1

  constructor(windowMs: number, slices: number) {
    this.#slices = slices
    this.#sliceMs = windowMs / slices
  }

  get running(): number {
    return this.#epoch % this.#slices
  }

  /** Calls `drop` for each slice that has to be emptied; a clock that steps back stays in the running slice. */
  turn(now: number, drop: (slice: number) => void): void {
    const epoch = Math.floor(now / this.#sliceMs)
    if (this.#epoch < 0) this.#epoch = Math.max(epoch, 0)
    const stale = Math.min(epoch - this.#epoch, this.#slices)
    for (let back = 0; back < stale; back++) drop((epoch - back) % this.#slices)
    if (epoch > this.#epoch) this.#epoch = epoch
  }
}

/** Buckets a doubling of the value is cut into: neighbours differ by 9 %, so a quantile is off by 4.5 % at most. */
const PER_OCTAVE = 8
const SMALLEST_MS = 0.05
/** 21 doublings above 0.05 ms: 105 s; what is longer counts as that. */
export const LATENCY_BUCKETS = 21 * PER_OCTAVE

/** The bucket of a latency. */
export function latencyBucket(ms: number): number {
  if (!(ms > SMALLEST_MS)) return 0
  return Math.min(LATENCY_BUCKETS - 1, Math.floor(Math.log2(ms / SMALLEST_MS) * PER_OCTAVE))
}

/** The middle of a bucket, in milliseconds. */
export function bucketMs(bucket: number): number {
  return SMALLEST_MS * 2 ** ((bucket + 0.5) / PER_OCTAVE)
}

/** Latency quantiles of the last `windowMs`. */
export class SlidingQuantiles {
  readonly #ring: SliceRing
  readonly #slices: Uint32Array
  readonly #sums = new Float64Array(LATENCY_BUCKETS)
  #count = 0
  readonly #drop = (slice: number) => {
    const start = slice * LATENCY_BUCKETS
    for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
      const gone = this.#slices[start + bucket] ?? 0
      this.#sums[bucket] = (this.#sums[bucket] ?? 0) - gone
      this.#count -= gone
    }
    this.#slices.fill(0, start, start + LATENCY_BUCKETS)
  }

  constructor(windowMs: number, slices = 10) {
    this.#ring = new SliceRing(windowMs, slices)
    this.#slices = new Uint32Array(slices * LATENCY_BUCKETS)
  }

  add(now: number, ms: number): void {
    this.#ring.turn(now, this.#drop)
    const bucket = latencyBucket(ms)
    const at = this.#ring.running * LATENCY_BUCKETS + bucket
    this.#slices[at] = (this.#slices[at] ?? 0) + 1
    this.#sums[bucket] = (this.#sums[bucket] ?? 0) + 1
    this.#count++
  }

  count(now: number): number {
    this.#ring.turn(now, this.#drop)
    return this.#count
  }

  /** The latency below which the share `q` of the window lies; undefined when the window is empty. */
  quantile(now: number, q: number): number | undefined {
    this.#ring.turn(now, this.#drop)
    if (this.#count === 0) return undefined
    return quantileOf(this.#sums, 0, Math.ceil(q * this.#count))
  }
}

/** The latency of rank `rank` (1 is the smallest) in a histogram of latency buckets that begins at `start`. */
export function quantileOf(counts: ArrayLike<number>, start: number, rank: number): number {
  let seen = 0
  for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
    seen += counts[start + bucket] ?? 0
    if (seen >= rank) return bucketMs(bucket)
  }
  return bucketMs(LATENCY_BUCKETS - 1)
}
