/**
 * How often a caller may ask past the cache. `no-cache` costs a backend's time, so each caller has a burst of 20
 * and then a fifth of its calls; what goes beyond is answered from the cache as if it had not been asked.
 */
const BURST = 20
const SHARE = 0.2
const MAX_CALLERS = 10_000

export class RefreshBudget {
  readonly #tokens = new Map<string, number>()
  readonly #burst: number

  /** `workers`: by how many a caller's calls may be counted, each with its part of the burst. */
  constructor(workers = 1) {
    this.#burst = Math.max(1, BURST / workers)
  }

  /** Counts one call of this caller; false where it asked for a refresh that it has no budget for. */
  allows(caller: string, refresh: boolean): boolean {
    const before = this.#tokens.get(caller)
    // A caller who never asks past the cache need not be remembered: the burst is what it starts with.
    if (before === undefined && !refresh) return true
    const tokens = Math.min(this.#burst, (before ?? this.#burst) + SHARE)
    const allowed = !refresh || tokens >= 1
    this.#tokens.delete(caller)
    this.#tokens.set(caller, refresh && allowed ? tokens - 1 : tokens)
    if (this.#tokens.size > MAX_CALLERS) this.#tokens.delete(this.#tokens.keys().next().value as string)
    return allowed
  }
}
