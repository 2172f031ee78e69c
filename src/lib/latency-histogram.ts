/**
 * Durations to the microsecond, in buckets as HdrHistogram has them (Tene): whole microseconds up to 256, then 128 buckets to the
 * octave, so that a quantile is exact to 0.4 %. For reports; what workers share and add up at each call has the
 * coarser `log-histogram.ts`.
 */

const LINEAR = 256
const SHIFT = 7
const PER_OCTAVE = 1 << SHIFT
/** The longest duration that is told apart, some 36 minutes. */
const MAX_US = 2 ** 31 - 1
const BUCKETS = (32 - SHIFT) * PER_OCTAVE

/** What passes between threads: bucket and count in turn, of buckets that are not empty. */
export interface LatencyCounts {
  readonly pairs: Uint32Array
  readonly sumUs: number
  readonly maxUs: number
}

export class LatencyHistogram {
  /** Made with the first duration: most histograms stay empty. */
  #counts: Uint32Array | undefined
  #total = 0
  #sumUs = 0
  #maxUs = 0

  /** How many durations were counted. */
  get total(): number {
    return this.#total
  }

  /** The longest, in microseconds, exactly. */
  get maxUs(): number {
    return this.#maxUs
  }

  /** In microseconds; 0 where nothing was counted. */
  get meanUs(): number {
    return this.#total === 0 ? 0 : this.#sumUs / this.#total
  }

  add(us: number): void {
    const whole = Math.min(MAX_US, Math.max(0, Math.round(us)))
    this.#counts ??= new Uint32Array(BUCKETS)
    const bucket = bucketOf(whole)
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1
    this.#total++
    this.#sumUs += whole
    if (whole > this.#maxUs) this.#maxUs = whole
  }

  /** The duration that the share `q` of all reaches at most, in microseconds; 0 where nothing was counted. */
  quantile(q: number): number {
    if (!this.#counts) return 0
    let rest = Math.max(1, Math.ceil(q * this.#total - 1e-9))
    if (rest >= this.#total) return this.#maxUs
    for (const [bucket, count] of this.#counts.entries()) {
      rest -= count
      if (rest <= 0) return Math.min(this.#maxUs, middleOf(bucket))
    }
    return this.#maxUs
  }

  counts(): LatencyCounts {
    const pairs: number[] = []
    this.#counts?.forEach((count, bucket) => {
      if (count > 0) pairs.push(bucket, count)
    })
    return { pairs: Uint32Array.from(pairs), sumUs: this.#sumUs, maxUs: this.#maxUs }
  }

  /** Adds what another histogram has counted. */
  merge({ pairs, sumUs, maxUs }: LatencyCounts): void {
    if (pairs.length > 0) this.#counts ??= new Uint32Array(BUCKETS)
    for (let i = 0; i < pairs.length; i += 2) {
      const [bucket = 0, count = 0] = [pairs[i], pairs[i + 1]]
      if (this.#counts) this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count
      this.#total += count
    }
    this.#sumUs += sumUs
    this.#maxUs = Math.max(this.#maxUs, maxUs)
  }
}

function bucketOf(us: number): number {
  if (us < LINEAR) return us
  const octave = 31 - SHIFT - Math.clz32(us)
  return octave * PER_OCTAVE + (us >>> octave)
}

function middleOf(bucket: number): number {
  if (bucket < LINEAR) return bucket
  const octave = (bucket >>> SHIFT) - 1
  const width = 2 ** octave
  return (bucket - octave * PER_OCTAVE) * width + (width - 1) / 2
}
