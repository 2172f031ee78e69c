/**
 * Self-preservation (after Netflix Eureka): when a large part of a pool misses its leases at once, the gateway's own
 * network is a more likely cause than the death of all. Removal is then suspended for a while. The backends stay
 * suspect, which still ranks them behind every ready one.
 */

const SHARE = 0.15
const AT_LEAST = 2
const MAX_FREEZE_MS = 300_000

export class Preservation {
  #since: number | undefined

  /**
   * Whether removal is suspended now. `missed` of the pool's `leased` backends have missed their lease within the last
   * TTL and are not removed yet.
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
