/**
 * The retry budget of a pool: a fifth of its calls, or a few retries a second where that is more, so that quiet pools can
 * retry at all. That reserve is a floor and not an addition: added, it would let a pool of 200 calls a second send 1.25
 * times as many.
 *
 * There are two token buckets, and a retry takes from both: one is filled by calls, the other by time. What a bucket holds
 * is bounded, or the tokens of good times would be spent when all fail: clients in a closed loop make fewer calls then, and
 * with a window of ten seconds could retry each one. There is never a debt to pay back either: the first calls after a
 * failure can be retried, although one backend may still be dead.
 *
 * With all backends failing the load grows by a fifth, and not by the number of attempts.
 */

export interface RetryBudgetOptions {
  /** Retries per hundred calls. Default 20. */
  readonly percent?: number
  /** Retries a second that are always allowed. Default 10. */
  readonly minPerSecond?: number
  /** Of those, concurrent calls on a retry: failures may be slow, and ten a second of them add up. Default 3, as Envoy. */
  readonly minAtOnce?: number
  /** The most retries saved up, in a pool with few concurrent calls. Default 10. */
  readonly burst?: number
}

/** The part of the calls under way that can be retried at once: where one of two backends dies, those it had. */
const DYING = 0.5

export class RetryBudget {
  readonly #options: Required<RetryBudgetOptions>
  /** Filled by calls. */
  #earned = 0
  /** Filled by time. */
  #reserve: number
  #filledAt = 0
  #running = 0

  constructor(options: RetryBudgetOptions = {}) {
    const { percent = 20, minPerSecond = 10, minAtOnce = 3, burst = 10 } = options
    this.#options = { percent, minPerSecond, minAtOnce, burst }
    this.#reserve = minPerSecond
  }

  /** To be called once for each call, with its first attempt. `underWay`: calls of the pool that have not ended. */
  deposit(underWay = 0): void {
    const { percent, burst } = this.#options
    const most = Math.max(1, burst, underWay * DYING)
    this.#earned = Math.min(most, this.#earned + percent / 100)
  }

  /** Retries that could be made at once. */
  left(now: number): number {
    return Math.floor(Math.max(this.#earned, this.#reserveAt(now)) + 1e-9)
  }

  /** Takes one retry; false: none is left, and the failure is the answer. To be followed by `ended` when the call is over. */
  tryWithdraw(now: number): boolean {
    const reserve = this.#reserveAt(now)
    if (!this.#hasEarned && reserve < 1) return false
    this.#take()
    this.#running++
    return true
  }

  /** Takes one for a hedge: it is load as a retry is, but may not use the reserve of a quiet pool. */
  tryWithdrawEarned(now: number): boolean {
    if (!this.#hasEarned) return false
    this.#reserveAt(now)
    this.#take()
    return true
  }

  /** A call is over that took this many retries. */
  ended(retries: number): void {
    this.#running -= retries
  }

  get #hasEarned(): boolean {
    return this.#earned >= 1 - 1e-9
  }

  #take(): void {
    this.#earned = Math.max(0, this.#earned - 1)
    this.#reserve = Math.max(0, this.#reserve - 1)
  }

  /** The part of the reserve that may be used now. */
  #reserveAt(now: number): number {
    const { minPerSecond, minAtOnce } = this.#options
    const earned = (Math.max(0, now - this.#filledAt) * minPerSecond) / 1_000
    this.#filledAt = now
    // A worker's part may be less than one a second.
    this.#reserve = Math.min(minPerSecond > 0 ? Math.max(1, minPerSecond) : 0, this.#reserve + earned)
    return this.#running < minAtOnce ? this.#reserve : 0
  }
}

/** The wait before retry `attempt` (0 is the first): full jitter, so that calls that failed together do not return together. */
export function retryDelayMs(
  attempt: number,
  random: () => number,
  options: { readonly baseMs?: number; readonly maxMs?: number } = {},
): number {
  const { baseMs = 25, maxMs = 1_000 } = options
  return random() * Math.min(maxMs, baseMs * 2 ** attempt)
}
