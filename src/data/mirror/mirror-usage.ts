/**
 * Counts what becomes of copies, by route and pool. Each thread counts for itself and gives away what it has counted since the
 * last time, as `TenantUsage` does.
 */
import {
  type MirrorDrop,
  type MirrorTotals,
  type MutableMirrorTotals,
  noMirrorTotals,
} from '../../core/mirror.ts'

export class MirrorUsage {
  #totals = new Map<string, Map<string, MutableMirrorTotals>>()

  of(route: string, pool: string): MutableMirrorTotals {
    let pools = this.#totals.get(route)
    if (!pools) this.#totals.set(route, (pools = new Map()))
    let counts = pools.get(pool)
    if (!counts) pools.set(pool, (counts = noMirrorTotals(route, pool)))
    return counts
  }

  /** A copy is not sent. */
  drop(route: string, pool: string, why: MirrorDrop): void {
    const { dropped } = this.of(route, pool)
    dropped[why] = (dropped[why] ?? 0) + 1
  }

  /** What was counted since the last time. */
  take(): readonly MirrorTotals[] {
    const taken = [...this.#totals.values()].flatMap((pools) => [...pools.values()])
    if (taken.length > 0) this.#totals = new Map()
    return taken
  }
}
