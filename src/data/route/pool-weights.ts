/**
 * The weights by which the calls of a route are spread over pools, which may change while calls run. A pool is picked by
 * weighted rendezvous hashing (Thaler and Ravishankar, 1998): each pool has a score for a point, and the highest wins. So
 * every worker and gateway picks alike, and where the weight of one pool grows, points move to that pool and to no other.
 */
import type { Digest } from '../../core/key.ts'
import { lane32, lift32, unit53 } from '../../lib/hash64.ts'

/** What decides on the pool of a call: what it asks, who asks, or chance. */
export type Sticky = 'input' | 'caller' | 'none'

/** By pool: from 0 up, of any scale. */
export type Weights = Readonly<Record<string, number>>

/** A pick, kept with an answer: it is valid as long as the point would be given the same pool again. */
export interface PoolChoice {
  readonly weights: PoolWeights
  readonly point: Digest
  /** Index of the pool. */
  readonly at: number
  /** The generation of the weights under which it was looked at last. */
  generation: number
}

export class PoolWeights {
  readonly pools: readonly string[]
  readonly sticky: Sticky
  readonly #high: readonly number[]
  readonly #low: readonly number[]
  #weights: readonly number[]
  #generation = 0

  /** The names differ, and one weight at least is over 0. */
  constructor(weights: Weights, sticky: Sticky) {
    this.pools = Object.keys(weights)
    this.sticky = sticky
    this.#high = this.pools.map((pool) => lane32(pool, 1))
    this.#low = this.pools.map((pool) => lane32(pool, 2))
    this.#weights = Object.values(weights)
  }

  /** Replaces the weights of these pools. */
  change(weights: Weights): void {
    this.#weights = this.pools.map((pool, at) => weights[pool] ?? this.#weights[at] ?? 0)
    this.#generation++
  }

  choose(point: Digest): PoolChoice {
    return { weights: this, point, at: this.#pick(point), generation: this.#generation }
  }

  /** The index of a pool for a call that nothing binds to one. */
  draw(random: () => number): number {
    return this.#highest((random() * TWO_32) | 0, (random() * TWO_32) | 0)
  }

  /** Whether the point of an earlier choice would still be given the same pool. */
  holds(choice: PoolChoice): boolean {
    if (choice.generation === this.#generation) return true
    if (this.#pick(choice.point) !== choice.at) return false
    choice.generation = this.#generation
    return true
  }

  #pick(point: Digest): number {
    return this.#highest(lift32(point, 0), lift32(point, 4))
  }

  #highest(high: number, low: number): number {
    let best = 0
    // A score may be 0: that of a weight so small that it underflows.
    let bestScore = -1
    for (let at = 0; at < this.#weights.length; at++) {
      const weight = this.#weights[at] ?? 0
      if (weight === 0) continue
      const score = -weight / Math.log(unit53(high, low, this.#high[at] ?? 0, this.#low[at] ?? 0))
      if (score <= bestScore) continue
      best = at
      bestScore = score
    }
    return best
  }
}

const TWO_32 = 2 ** 32
