/**
 * A concurrency limit learnt from latency: Gradient2 of Netflix's concurrency-limits, with an absolute guard. The gradient
 * alone compares latency with its own long average. In a slowdown that lasts, the average becomes that of the slowdown, and
 * the limit climbs back and runs away. The guard knows how long a call may take at all.
 */

export interface GradientOptions {
  /** Default 4. */
  readonly initial?: number
  /** Default 1. */
  readonly min?: number
  /** Default 1024. */
  readonly max?: number
  /** The longest a call should take at p90; Infinity: no guard. Default Infinity. */
  readonly serviceMs?: number
}

const SMOOTHING = 0.2
/** Calls added above what the gradient says, to find out whether there is room. */
const HEADROOM = 4
const TOLERANCE = 1.5
const LONG_SAMPLES = 600
const WARM_UP = 10
const GUARD_STEP = 0.9

export class GradientLimit {
  readonly #min: number
  readonly #max: number
  readonly #serviceMs: number
  #limit: number
  #longMs = 0
  #samples = 0

  constructor(options: GradientOptions = {}) {
    this.#min = options.min ?? 1
    this.#max = options.max ?? 1_024
    this.#serviceMs = options.serviceMs ?? Infinity
    this.#limit = Math.min(this.#max, Math.max(this.#min, options.initial ?? 4))
  }

  get limit(): number {
    return this.#limit
  }

  /** Continues from a limit that another worker has set; its own last limit, rounded, changes nothing. */
  adopt(limit: number): void {
    if (limit !== Math.max(1, Math.floor(this.#limit))) this.#set(limit)
  }

  /** Takes the latency of a window (its p90) and the most calls that ran in it; returns the new limit. */
  sample(shortMs: number, inflight: number): number {
    this.#remember(shortMs)
    if (shortMs > this.#serviceMs) {
      if (inflight >= 0.8 * this.#limit) this.#set(this.#limit * GUARD_STEP)
      return this.#limit
    }
    // Demand is below the limit: latency says nothing about more calls.
    if (inflight < this.#limit / 2) return this.#limit
    const gradient = Math.min(1, Math.max(0.5, (TOLERANCE * this.#longMs) / shortMs))
    this.#set((1 - SMOOTHING) * this.#limit + SMOOTHING * (this.#limit * gradient + HEADROOM))
    return this.#limit
  }

  #remember(shortMs: number): void {
    this.#samples++
    if (this.#samples <= WARM_UP) this.#longMs += (shortMs - this.#longMs) / this.#samples
    else this.#longMs += ((shortMs - this.#longMs) * 2) / (LONG_SAMPLES + 1)
    // After a slow period the long average comes down faster than its window.
    if (this.#longMs > 2 * shortMs) this.#longMs *= 0.95
  }

  #set(limit: number): void {
    this.#limit = Math.min(this.#max, Math.max(this.#min, limit))
  }
}
