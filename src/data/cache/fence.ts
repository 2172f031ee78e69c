/**
 * What was removed by key, and must not come back by an answer that was asked for before. A fill takes a mark when
 * it begins; what was removed since then is not stored under that mark. A removed key is barred for a while as well:
 * until every gateway has heard of the removal, what a shared tier says for it may be the old answer, written late. So it
 * may when the tier has been away and is back, from a snapshot: until the facts have been asked for, which then make other keys.
 */
import type { Digest } from '../../core/key.ts'
import type { Clock } from '../../lib/clock.ts'

interface KeyRemoval {
  readonly turn: number
  /** Monotonic milliseconds until which shared tiers are not believed for this key. */
  readonly barredUntil: number
}

/** Gateways hear of a removal, or of a server that is back, within a second; one that is late by several is not asked for more. */
export const BARRED_MS = 5_000
const MAX_REMOVALS = 4_096

export class Fence {
  readonly #clock: Clock
  readonly #removals = new Map<Digest, KeyRemoval>()
  #turn = 0
  /** The newest removal that was forgotten for want of room: older marks store nothing any more. */
  #floor = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The present; grows with each removal. */
  mark(): number {
    return this.#turn
  }

  raise(digest: Digest): void {
    this.#removals.delete(digest)
    this.#removals.set(digest, { turn: ++this.#turn, barredUntil: this.#clock.now() + BARRED_MS })
    if (this.#removals.size <= MAX_REMOVALS) return
    const [oldest, removal] = this.#removals.entries().next().value as [Digest, KeyRemoval]
    this.#removals.delete(oldest)
    this.#floor = removal.turn
  }

  /** Whether what began at `mark` may be stored under this key. */
  passes(digest: Digest, mark: number): boolean {
    return mark >= this.#floor && (this.#removals.get(digest)?.turn ?? 0) <= mark
  }

  /** Whether a shared tier, connected to since then, is not to be believed for this key. */
  bars(digest: Digest, tier: { readonly since: number }): boolean {
    if (this.#removals.size === 0) return false
    const removal = this.#removals.get(digest)
    if (!removal) return false
    return Math.max(removal.barredUntil, tier.since + BARRED_MS) > this.#clock.now()
  }
}
