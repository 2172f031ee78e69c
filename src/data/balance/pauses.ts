/** Backends that asked to be left alone for a while (`Retry-After`), each until its time. */

/** As long as a backend may ask for. */
const MAX_PAUSE_MS = 300_000

export class Pauses {
  readonly #until: Float64Array
  #count = 0

  constructor(slots: number) {
    this.#until = new Float64Array(slots)
  }

  /** False: that is no time to wait for. */
  begin(slot: number, now: number, forMs: number): boolean {
    if (!(forMs > 0)) return false
    if (!this.has(slot)) this.#count++
    this.#until[slot] = now + Math.min(forMs, MAX_PAUSE_MS)
    return true
  }

  has(slot: number): boolean {
    return (this.#until[slot] ?? 0) !== 0
  }

  /** Monotonic; 0: not paused. */
  until(slot: number): number {
    return this.#until[slot] ?? 0
  }

  end(slot: number): void {
    if (!this.has(slot)) return
    this.#until[slot] = 0
    this.#count--
  }

  /** Ends those whose time is over; true: some were. */
  expire(slots: Int32Array, now: number): boolean {
    if (this.#count === 0) return false
    const before = this.#count
    for (const slot of slots) if (now >= (this.#until[slot] ?? 0)) this.end(slot)
    return this.#count < before
  }
}
