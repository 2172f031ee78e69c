/**
 * The load of a pool, as the data plane measures it and the scaler reads it: plain data, so that the planes need not
 * import each other. Only misses are load on a pool; a call that is answered from a cache, or by joining another
 * flight, costs no backend anything.
 */

/** Width of a bucket of load, milliseconds. Shorter calls than this must not be missed between samples. */
export const BUCKET_MS = 100

/** One tenth of a second of a pool's load, summed over workers and gateways. */
export interface LoadBucket {
  /** Misses offered: sent on, queued, or shed for want of room. */
  readonly offered: number
  /** Calls that needed no backend: hits, and calls that joined a flight. */
  readonly answered: number
  /** In flight plus queued, integrated over the bucket's time and divided by it. */
  readonly concurrency: number
  /** By how much in flight plus queued rose, at its highest instant, above where the bucket began; not negative. */
  readonly rise: number
}

/**
 * Service times of calls that started while `inflight` calls (their own included) were on the backend. Measured from gateway to
 * backend only; calls of slow-starting backends and failed calls are left out, or an overload would look like slow work.
 */
export interface ServiceBin {
  readonly inflight: number
  readonly count: number
  readonly sumMs: number
  readonly sumSquaresMs: number
  /** Counts by `bucketOf(ms)` of lib/log-histogram. */
  readonly histogram: ArrayLike<number>
}

/**
 * Generations that stream, by how many calls (their own included) were on the backend: the first pieces at their start, the pauses
 * between pieces while they ran. A piece is an event of the stream, which is a token, or what the server sends at a time.
 */
export interface StreamBin {
  /** As `binOf` has it. */
  readonly inflight: number
  readonly firsts: number
  /** From when the call was sent to its first piece. */
  readonly sumFirstMs: number
  /** The same as counts by `bucketOf(ms)` of lib/log-histogram. */
  readonly first: ArrayLike<number>
  /** Pauses that were measured, and the calls on the backend at each, summed. */
  readonly gaps: number
  readonly sumInflight: number
  readonly sumGapMs: number
  /** Of the mean pauses of a stretch of pieces, each as often as it has pauses. */
  readonly sumGapSquaresMs: number
}

/** What was measured of generations; all counts are since the previous report. */
export interface StreamReport {
  readonly bins: readonly StreamBin[]
  /** From when the caller asked to the first piece: counts by `bucketOf(ms)`. */
  readonly latency: ArrayLike<number>
  /** Generations that came to their end, their pieces, and the squares of those. */
  readonly finished: number
  readonly pieces: number
  readonly squaredPieces: number
}

/** What backends say of themselves, over those that say it; both are 0 where none does. */
export interface ReportedLoad {
  /** Calls that wait in backends. */
  readonly waiting: number
  /** Calls for which a backend's memory (its KV cache) has room, as far as its present calls show. */
  readonly room: number
}

/**
 * What was measured on one pool since the previous report. Counts are not cumulative: a lost report is a gap and not a
 * jump.
 */
export interface LoadReport {
  /** Monotonic milliseconds at the end of the last bucket. */
  readonly at: number
  /** In order of time, the last one ending at `at`; empty while none is full. */
  readonly buckets: readonly LoadBucket[]
  readonly queue: number
  readonly inflight: number
  /** How long the oldest queued call has been waiting, milliseconds. */
  readonly oldestWaitMs: number
  readonly service: readonly ServiceBin[]
  /** End-to-end times on the miss path, counts by `bucketOf(ms)`. */
  readonly latency: ArrayLike<number>
  /** Of the calls answered without a backend, how many a shared tier answered. */
  readonly answeredShared: number
  /** Undefined: nothing streamed, or nobody asked for it. */
  readonly streams?: StreamReport | undefined
}

/** Bins of concurrency: exact up to 4, then in steps of half an octave: 1, 2, 3, 4, 6, 8, 12, 16 … */
export function binOf(inflight: number): number {
  if (inflight <= 4) return Math.max(1, inflight)
  const octave = 2 ** Math.floor(Math.log2(inflight))
  return inflight >= octave * 1.5 ? octave * 1.5 : octave
}

/** Both reports as one. */
export function addStreams(
  a: StreamReport | undefined,
  b: StreamReport | undefined,
): StreamReport | undefined {
  if (!a || !b) return a ?? b
  const bins = new Map(a.bins.map((bin) => [bin.inflight, bin]))
  for (const bin of b.bins) {
    const known = bins.get(bin.inflight)
    bins.set(bin.inflight, known ? addBin(known, bin) : bin)
  }
  return {
    bins: [...bins.values()],
    latency: addCounts(a.latency, b.latency),
    finished: a.finished + b.finished,
    pieces: a.pieces + b.pieces,
    squaredPieces: a.squaredPieces + b.squaredPieces,
  }
}

/** What two bins of one concurrency hold together. */
export function addBin(a: StreamBin, b: StreamBin): StreamBin {
  return {
    inflight: a.inflight,
    firsts: a.firsts + b.firsts,
    sumFirstMs: a.sumFirstMs + b.sumFirstMs,
    first: addCounts(a.first, b.first),
    sumInflight: a.sumInflight + b.sumInflight,
    gaps: a.gaps + b.gaps,
    sumGapMs: a.sumGapMs + b.sumGapMs,
    sumGapSquaresMs: a.sumGapSquaresMs + b.sumGapSquaresMs,
  }
}

function addCounts(a: ArrayLike<number>, b: ArrayLike<number>): number[] {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => (a[i] ?? 0) + (b[i] ?? 0))
}
