/**
 * Backends that asked to be left alone for a while (`Retry-After`), each until its time. In the load table: what one
 * worker was asked holds for all.
 */
import type { LoadTable } from './table.ts'

/** As long as a backend may ask for. */
const MAX_PAUSE_MS = 300_000

export class Pauses {
  readonly #until: Float64Array
  readonly #changes: Int32Array

  constructor({ pausedUntil, pauses }: LoadTable) {
    this.#until = pausedUntil
    this.#changes = pauses
  }

  /** Another number whenever a pause has begun or ended, in whichever worker. */
  get version(): number {
    return Atomics.load(this.#changes, 0)
  }

  /** False: that is no time to wait for. */
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

  /** Ends those whose time is over. */
  expire(slots: Int32Array, now: number): void {
    for (const slot of slots) {
      if (!this.has(slot) || now < this.until(slot)) continue
      this.#until[slot] = 0
      Atomics.add(this.#changes, 0, 1)
    }
  }
}
