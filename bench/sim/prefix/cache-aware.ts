/**
 * The policy `cache_aware` of vllm-router and SGLang's router, as its documentation has it, to be compared with: nothing of this runs in
 * the gateway. An approximate tree of prompts for each worker; the longest match if it covers enough of the prompt, otherwise the
 * worker with the smallest tree; and the shortest queue while the loads are out of balance.
 */

export interface CacheAwareOptions {
  /** The least part of the prompt that must match. */
  readonly cacheThreshold: number
  /** Out of balance: the most busy worker has more calls than the least busy by this number and by this factor. */
  readonly balanceAbs: number
  readonly balanceRel: number
}

/** The defaults of its command line. */
export const DEFAULTS: CacheAwareOptions = { cacheThreshold: 0.3, balanceAbs: 64, balanceRel: 1.5 }

export class CacheAware {
  readonly #options: CacheAwareOptions
  /** The blocks in the tree of each worker. */
  readonly #trees: readonly Set<string>[]
  readonly #loads: number[]

  constructor(workers: number, options: CacheAwareOptions = DEFAULTS) {
    this.#options = options
    this.#trees = Array.from({ length: workers }, () => new Set<string>())
    this.#loads = new Array<number>(workers).fill(0)
  }

  pick(blocks: readonly string[]): number {
    const chosen = this.#choose(blocks)
    for (const block of blocks) this.#trees[chosen]?.add(block)
    this.#loads[chosen] = (this.#loads[chosen] ?? 0) + 1
    return chosen
  }

  ended(worker: number): void {
    this.#loads[worker] = (this.#loads[worker] ?? 0) - 1
  }

  #choose(blocks: readonly string[]): number {
    const { cacheThreshold, balanceAbs, balanceRel } = this.#options
    const [most, least] = [Math.max(...this.#loads), Math.min(...this.#loads)]
    if (most - least > balanceAbs && most > balanceRel * least) return this.#loads.indexOf(least)
    const matches = this.#trees.map((tree) => {
      const at = blocks.findIndex((block) => !tree.has(block))
      return at < 0 ? blocks.length : at
    })
    const longest = Math.max(...matches)
    if (longest > cacheThreshold * blocks.length) return matches.indexOf(longest)
    const sizes = this.#trees.map(({ size }) => size)
    return sizes.indexOf(Math.min(...sizes))
  }
}
