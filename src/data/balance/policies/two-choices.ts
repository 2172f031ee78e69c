/** Draws two different candidates at random, with which every power-of-two-choices policy begins. */
import type { LoadTable } from '../table.ts'

/** Above this ratio of static weights, uniform sampling would not find the heavy backends often enough. */
const SKEWED = 4
/** Draws before a light backend is accepted; bounds the work of one pick. */
const DRAWS = 16

export class TwoChoices {
  /** Places in the candidates, after `draw`. */
  first = 0
  second = 0
  /** True: the sampling is by weight already, and the score must not be divided by it again. */
  isWeighted = false
  readonly #table: LoadTable
  readonly #random: () => number
  #heaviest = 1

  constructor(table: LoadTable, random: () => number) {
    this.#table = table
    this.#random = random
  }

  /** Compares the weights of the membership, to choose between the two ways of sampling. */
  weigh(slots: Int32Array): void {
    let lightest = Infinity
    this.#heaviest = 0
    for (const slot of slots) {
      const weight = this.#table.weight[slot] ?? 1
      if (weight > this.#heaviest) this.#heaviest = weight
      if (weight < lightest) lightest = weight
    }
    this.isWeighted = this.#heaviest > SKEWED * lightest
  }

  /** Sets `first` and `second`, never equal; `count` is at least 2. */
  draw(slots: Int32Array, count: number): void {
    this.first = this.isWeighted ? this.one(slots, count) : Math.floor(this.#random() * count)
    if (!this.isWeighted) {
      const second = Math.floor(this.#random() * (count - 1))
      this.second = second >= this.first ? second + 1 : second
      return
    }
    this.second = this.one(slots, count)
    if (this.second === this.first)
      this.second = (this.first + 1 + Math.floor(this.#random() * (count - 1))) % count
  }

  /**
   * Draws one place in proportion to the shares. Rejection instead of an alias table: shares move during slow start, and a
   * table would have to follow.
   */
  one(slots: Int32Array, count: number): number {
    let place = 0
    for (let draw = 0; draw < DRAWS; draw++) {
      place = Math.floor(this.#random() * count)
      const share = this.#table.share[slots[place] ?? 0] ?? 1
      if (this.#random() * this.#heaviest < share) break
    }
    return place
  }
}
