/**
 * Draws a random sample of a sequence of events, of which a bounded number a second is taken: all of few, one in up to 64 of many.
 * An event that is not taken costs a decrement.
 */
import type { Clock } from './clock.ts'

const MOST = 64
/** The least time between two events that are taken, on average. */
const GAP_MS = 5

export class BoundedSampler {
  readonly #clock: Pick<Clock, 'now'>
  readonly #random: () => number
  #every = 1
  #skip = 0
  #takenAt = Number.NEGATIVE_INFINITY

  /** `random`: uniform in [0, 1). */
  constructor(clock: Pick<Clock, 'now'>, random: () => number) {
    this.#clock = clock
    this.#random = random
  }

  /** Whether the next event is in the sample. */
  get isDue(): boolean {
    return this.#skip === 0
  }

  /** Counts one event, and returns how many it stands for; 0: it is not in the sample. */
  takes(): number {
    if (this.#skip > 0) {
      this.#skip--
      return 0
    }
    const stands = this.#every
    const now = this.#clock.now()
    const gap = now - this.#takenAt
    this.#takenAt = now
    if (gap < GAP_MS) this.#every = Math.min(MOST, this.#every * 2)
    else if (gap > 2 * GAP_MS) this.#every = Math.max(1, this.#every / 2)
    // As likely to be any of the next: callers who repeat a list in turn must not always be taken at the same place.
    this.#skip = Math.floor(this.#random() * (2 * this.#every - 1))
    return stands
  }
}
