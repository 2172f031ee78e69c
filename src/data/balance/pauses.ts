/**
 * Pauses: backends that asked for no calls for a while (`Retry-After`), each until its time. They lie in the load table, so
 * a pause that one worker was asked for holds for all.
 */
import type { LoadTable } from './table.ts'

/** The longest pause that is granted. */
const MAX_PAUSE_MS = 300_000

export class Pauses {
  readonly #until: Float64Array
  readonly #changes: Int32Array

  constructor({ pausedUntil, pauses }: LoadTable) {
    this.#until = pausedUntil
    this.#changes = pauses
  }

  /** Changes whenever a pause has begun or ended, in any worker. */
  get version(): number {
    return Atomics.load(this.#changes, 0)
  }

  /** False: the time is zero, negative or no number. */
  begin(slot: number, now: number, forMs: number): boolean {
    if (!(forMs > 0)) return false
    this.#until[slot] = now + Math.min(forMs, MAX_PAUSE_MS)
    Atomics.add(this.#changes, 0, 1)
    return true
  }

  has(slot: number): boolean {
    return (this.#until[slot] ?? 0) !== 0
  }

  /** Monotonic; 0: not paused. */
  until(slot: number): number {
    return this.#until[slot] ?? 0
  }

  /** Ends the pauses whose time is over. */
  expire(slots: Int32Array, now: number): void {
    for (const slot of slots) {
      if (!this.has(slot) || now < this.until(slot)) continue
      this.#until[slot] = 0
      Atomics.add(this.#changes, 0, 1)
    }
  }
}
