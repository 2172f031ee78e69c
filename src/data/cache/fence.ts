/**
 * The fence keeps removed entries from coming back. A fill takes a mark when it begins; a key that was removed since then
 * is not stored under that mark. A removed key is also barred from shared tiers for a while: until every gateway knows of
 * the removal, a tier's value for it may be the old answer, written late. The same holds after a tier was away, since it may
 * come back with a snapshot: the key stays barred until the facts have been read, which then make other keys.
 */
import type { Digest } from '../../core/key.ts'
import type { Clock } from '../../lib/clock.ts'

interface KeyRemoval {
  readonly turn: number
  /** Monotonic milliseconds until which values of shared tiers are ignored for this key. */
  readonly barredUntil: number
}

/** Gateways learn of a removal, or of a server that is back, within a second; this allows for one that is some seconds late. */
export const BARRED_MS = 5_000
const MAX_REMOVALS = 4_096

export class Fence {
  readonly #clock: Clock
  readonly #removals = new Map<Digest, KeyRemoval>()
  #turn = 0
  /** The newest removal that was forgotten for lack of space: nothing is stored under older marks any more. */
  #floor = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The present mark; it grows with each removal. */
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

  /** Whether a load that began at `mark` may store under this key. */
  passes(digest: Digest, mark: number): boolean {
    return mark >= this.#floor && (this.#removals.get(digest)?.turn ?? 0) <= mark
  }

  /** Whether the values of a shared tier, connected since `tier.since`, are to be ignored for this key. */
  bars(digest: Digest, tier: { readonly since: number }): boolean {
    if (this.#removals.size === 0) return false
    const removal = this.#removals.get(digest)
    if (!removal) return false
    return Math.max(removal.barredUntil, tier.since + BARRED_MS) > this.#clock.now()
  }
}
