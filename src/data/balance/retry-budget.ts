/**
 * How many retries a pool may make: a fifth of its calls, or a few a second where that is more, so that quiet pools can
 * retry at all. The reserve is a floor and not an addition, or a pool of 200 calls a second would come to 1.25.
 * Rates and not retries in flight are counted, so a retry that waits in its back-off is counted too
 * (the form of Finagle's RetryBudget). With all backends failing the load grows by a fifth and not by the number
 * of tries.
 */
import { SlidingSum } from '../../lib/window.ts'

export interface RetryBudgetOptions {
  /** Retries per hundred calls. Default 20. */
  readonly percent?: number
  /** Retries a second that are always allowed. Default 10. */
  readonly minPerSecond?: number
  /** How long a call's part of a retry is good for. Default 10 s. */
  readonly windowMs?: number
}

export class RetryBudget {
  readonly #cost: number
  readonly #reserve: number
  readonly #calls: SlidingSum
  readonly #retries: SlidingSum

  constructor(options: RetryBudgetOptions = {}) {
    const { percent = 20, minPerSecond = 10, windowMs = 10_000 } = options
    // Retries are counted in calls that pay for them; at 0 percent only the reserve pays.
    this.#cost = percent > 0 ? 100 / percent : Infinity
    this.#reserve = (minPerSecond * windowMs) / 1_000
    this.#calls = new SlidingSum(windowMs)
    this.#retries = new SlidingSum(windowMs)
  }

  /** Once for each call, with its first attempt. */
  deposit(now: number): void {
    this.#calls.add(now)
  }

  /** Retries that could be made at once. */
  left(now: number): number {
    const allowed = Math.max(this.#calls.total(now) / this.#cost, this.#reserve)
    return Math.floor(allowed - this.#retries.total(now) + 1e-9)
  }

  /** Takes one retry; false: none is left, and the failure at hand is the answer. */
  tryWithdraw(now: number): boolean {
    if (this.left(now) < 1) return false
    this.#retries.add(now)
    return true
  }
}

/** How long to wait before retry `attempt` (0 is the first): full jitter, for calls that failed together must not return together. */
export function retryDelayMs(
  attempt: number,
  random: () => number,
  options: { readonly baseMs?: number; readonly maxMs?: number } = {},
): number {
  const { baseMs = 25, maxMs = 1_000 } = options
  return random() * Math.min(maxMs, baseMs * 2 ** attempt)
}
