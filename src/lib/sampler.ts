/**
 * Draws a random sample of a sequence of events. How many events to skip is drawn once for each sample, from the geometric
 * distribution, so each event is taken with the same probability and one that is skipped costs a decrement.
 */
export class Sampler {
  readonly #share: number
  readonly #random: () => number
  #skip: number

  /** `share`: the probability of each event, in (0, 1]. `random`: uniform in [0, 1). */
  constructor(share: number, random: () => number) {
    this.#share = share
    this.#random = random
    this.#skip = this.#gap()
  }

  /** Whether the next event is in the sample. */
  get isDue(): boolean {
    return this.#skip === 0
  }

  /** Counts one event, and returns whether it is in the sample. */
  takes(): boolean {
    if (this.#skip > 0) {
      this.#skip--
      return false
    }
    this.#skip = this.#gap()
    return true
  }

  #gap(): number {
    if (this.#share >= 1) return 0
    return Math.floor(Math.log(1 - this.#random()) / Math.log(1 - this.#share))
  }
}
