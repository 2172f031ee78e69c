/**
 * A budget for `no-cache`: how often a caller may bypass the cache. A refresh costs a backend's time, so each caller has a
 * burst of 20 and then a fifth of its calls; beyond that, `no-cache` is ignored.
 */
const BURST = 20
const SHARE = 0.2
const MAX_CALLERS = 10_000

export class RefreshBudget {
  readonly #tokens = new Map<string, number>()
  readonly #burst: number

  /** `workers`: how many workers count a caller's calls; each has its part of the burst. */
  constructor(workers = 1) {
    this.#burst = Math.max(1, BURST / workers)
  }

  /** Counts one call of this caller; false if it asks for a refresh beyond its budget. */
  allows(caller: string, refresh: boolean): boolean {
    const before = this.#tokens.get(caller)
    // A caller who has never asked for a refresh has its full burst, and need not be remembered.
    if (before === undefined && !refresh) return true
    const tokens = Math.min(this.#burst, (before ?? this.#burst) + SHARE)
    const allowed = !refresh || tokens >= 1
    this.#tokens.delete(caller)
    this.#tokens.set(caller, refresh && allowed ? tokens - 1 : tokens)
    if (this.#tokens.size > MAX_CALLERS) this.#tokens.delete(this.#tokens.keys().next().value as string)
    return allowed
  }
}
