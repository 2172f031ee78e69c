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
}
