/**
 * Decides whether a queue is overloaded or only bursty: CoDel (Nichols and Jacobson, 2012) in the form of Facebook's folly.
 * A queue that empties now and then does its work, however long it gets in between. A queue is overloaded if even the
 * shortest wait of an interval was too long.
 */

export interface CodelOptions {
  /** The longest that the shortest wait of an interval may be. Default 5 ms. */
  readonly targetMs?: number
  /** Default 100 ms; should be no less than the p95 of a call. */
  readonly intervalMs?: number
}

export class Codel {
  readonly #targetMs: number
  readonly #intervalMs: number
  #leastMs = 0
  #endsAt = -Infinity
  #isOverloaded = false

  constructor({ targetMs = 5, intervalMs = 100 }: CodelOptions = {}) {
    this.#targetMs = targetMs
    this.#intervalMs = intervalMs
  }

  get isOverloaded(): boolean {
    return this.#isOverloaded
  }

  /** 0: no wait; 1: overloaded twice over. For dashboards. */
  get load(): number {
    return Math.min(1, this.#leastMs / (2 * this.#targetMs))
  }

  /** Takes the wait of each call that leaves the queue; true: refuse the call instead of serving it. */
  shouldShed(now: number, waitedMs: number): boolean {
    if (now >= this.#endsAt) {
      this.#isOverloaded = this.#leastMs > this.#targetMs
      this.#endsAt = now + this.#intervalMs
      this.#leastMs = waitedMs
      // The first call of an interval is always served, so that something gets through.
      return false
    }
    if (waitedMs < this.#leastMs) this.#leastMs = waitedMs
    return this.#isOverloaded && waitedMs > 2 * this.#targetMs
  }

  /** The queue was found empty. */
  empty(): void {
    this.#leastMs = 0
    this.#isOverloaded = false
  }
}
