/**
 * The inputs of the scaler: plain data between the data plane's counters and `decide`.
 *
 * Only misses are demand. A call that is answered from a cache, or by joining another flight, costs no backend
 * anything. It is counted in `answered`, which matters when the cache is lost.
 */
import type { LoadReport, ReportedLoad } from '../../core/load.ts'

export { BUCKET_MS, type LoadBucket, type ServiceBin } from '../../core/load.ts'

/**
 * A loss of cached answers, past or planned. It is identified by its instant, so that reporting it twice has no effect.
 * `tierDown` lasts as long as it is reported; the other kinds refill with use.
 */
export interface CacheLoss {
  readonly kind: 'tierDown' | 'flush' | 'deployment'
  /** Monotonic milliseconds; a planned deployment lies in the future. */
  readonly at: number
  /** The share of calls still answered without a backend right after it, 0 to 1. */
  readonly hitRatioLeft: number
}

export interface Replicas {
  readonly ready: number
  /** Age of each starting replica, milliseconds since its start was requested. */
  readonly startingMs: readonly number[]
  /** Ready but still warming up. */
  readonly slow: number
  readonly draining: number
}

/** What was measured on one pool since the previous report; a report with an `at` that was seen is ignored. */
export interface Demand extends Omit<LoadReport, 'answeredShared'> {
  readonly replicas: Replicas
  /** How long each replica took to start that became ready since the last report, milliseconds. */
  readonly startsMs: readonly number[]
  readonly cache?: CacheLoss
  /** What the backends say of their own load. */
  readonly reported?: ReportedLoad | undefined
  /** Misses that are about to be sent here, such as those of a rollout; left out: nobody has announced any. */
  readonly expected?: Expected | undefined
}

export interface Expected {
  readonly perSecond: number
  /** For a pool that was never called: replicas for them, by what is known of another one. */
  readonly replicas?: number | undefined
}

/** Settings of one pool's scaler. Times in milliseconds. */
export interface ScaleOptions {
  readonly min: number
  readonly max: number
  /**
   * The p95 promised end to end on the miss path, of generations to the first token; without it, the pool is held at
   * `utilisation`.
   */
  readonly sloMs?: number
  /** The p95 promised between the tokens of a generation: the pool is sized by tokens. */
  readonly itlMs?: number
  /** Calls a replica serves at a time without slowing down; undefined: learned. */
  readonly slots?: number
  readonly fastMs: number
  readonly stableMs: number
  /** Unit of how long a level of load is kept after it was last wanted; the past of the load decides the multiple. */
  readonly downMs: number
  /** The same while it is not known whether the load comes back. */
  readonly unknownMs: number
  /** Share of calls that may miss the SLO by the plan; the SLO itself allows 0.05. */
  readonly risk: number
  /** Aim of the plan where the SLO cannot be kept, or there is none. */
  readonly utilisation: number
  /** Margin between the rules for up and down, as a share of the load: down only if the plan holds for so much more. */
  readonly deadband: number
  /** A backlog is to be gone this long after the capacity against it is ready. */
  readonly drainMs: number
  /** Assumed until starts have been seen. */
  readonly startMs: number
  /** Share of the cache's work for which replicas are always kept, 0 to 1. */
  readonly cacheLossReserve: number
  /** With `min: 0`, the pool goes to zero after so long without a call. */
  readonly zeroAfterMs: number
  /** A report older than this decides nothing. */
  readonly staleMs: number
  readonly maxReversals: number
  readonly reversalWindowMs: number
}

export const SCALE_DEFAULTS: Omit<ScaleOptions, 'min' | 'max'> = {
  fastMs: 6_000,
  stableMs: 60_000,
  downMs: 300_000,
  unknownMs: 900_000,
  risk: 0.015,
  utilisation: 0.7,
  deadband: 0.03,
  drainMs: 2_500,
  startMs: 10_000,
  cacheLossReserve: 0,
  zeroAfterMs: 300_000,
  staleMs: 10_000,
  maxReversals: 3,
  reversalWindowMs: 600_000,
}
