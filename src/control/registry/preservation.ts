/**
 * Self-preservation (after Netflix Eureka): when a good part of a pool misses its leases at once, it is more
 * likely that we cannot hear than that they all died. Then nothing is removed for a while; missed backends
 * stay suspect, which still keeps them behind every ready one.
 */

const SHARE = 0.15
const AT_LEAST = 2
const MAX_FREEZE_MS = 300_000

export class Preservation {
  #since: number | undefined

  /**
   * Whether removal is frozen now. `missed` of the pool's `leased` backends have missed their lease within the
   * last TTL and are not removed yet.
   */
  frozen(missed: number, leased: number, now: number): boolean {
    if (missed < AT_LEAST || missed <= leased * SHARE) {
      this.#since = undefined
      return false
    }
    this.#since ??= now
    return now - this.#since < MAX_FREEZE_MS
  }
}
