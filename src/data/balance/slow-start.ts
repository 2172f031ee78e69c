/**
 * Slow start: a backend that has just become ready gets a growing part of its weight, so that cold caches and lazy
 * initialisation meet a trickle and not a flood. Two guards that plain ramps lack keep the others from being flooded in
 * the meantime, and the new backend from being starved.
 */
import { type LoadTable, loadOf } from './table.ts'

export interface SlowStartOptions {
  /** Default 30 s; 0 turns slow start off. */
  readonly windowMs?: number
  /** The part a backend starts with. Default 0.1. */
  readonly minShare?: number
  /** Above 1 the ramp is steep at first. Default 1, a straight line. */
  readonly aggression?: number
}

/** The ramp gives way when more than this part of the capacity that it leaves is in use. */
const TIGHT = 0.9

/** The part of its weight that a backend gets after being ready for `elapsedMs` (Envoy's formula). */
export function slowStart(elapsedMs: number, options: SlowStartOptions = {}): number {
  const { windowMs = 30_000, minShare = 0.1, aggression = 1 } = options
  if (elapsedMs >= windowMs) return 1
  return Math.max(minShare, (Math.max(elapsedMs, 1_000) / windowMs) ** (1 / aggression))
}

/** Updates the shares of a pool's backends, and knows which are on their ramp. */
export class Ramps {
  readonly #table: LoadTable
  readonly #options: SlowStartOptions
  readonly #ramping: Int32Array
  #count = 0

  constructor(table: LoadTable, options: SlowStartOptions = {}) {
    this.#table = table
    this.#options = options
    this.#ramping = new Int32Array(table.slots)
  }

  /** How many backends are on their ramp; `rampingAt` gives each. */
  get count(): number {
    return this.#count
  }

  rampingAt(at: number): number {
    return this.#ramping[at] ?? 0
  }

  /** Recomputes `ramp` and `share` of the slots; `queued` calls count as demand too. */
  refresh(slots: Int32Array, now: number, queued = 0): void {
    const { ramp, readyAt } = this.#table
    this.#count = 0
    for (const slot of slots) {
      const part = slowStart(now - (readyAt[slot] ?? -Infinity), this.#options)
      ramp[slot] = part
      if (part < 1) this.#ramping[this.#count++] = slot
    }
    // When all are new, no other backend can take the calls that they do not get.
    if (this.#count === slots.length) this.#raise(1)
    else if (this.#count > 0) this.#raise(this.#surge(slots, queued))
    for (const slot of slots) this.#share(slot)
  }

  #raise(floor: number): void {
    let left = 0
    for (let at = 0; at < this.#count; at++) {
      const slot = this.#ramping[at] ?? 0
      const part = Math.max(this.#table.ramp[slot] ?? 1, floor)
      this.#table.ramp[slot] = part
      if (part < 1) this.#ramping[left++] = slot
    }
    this.#count = left
  }

  /** Demand as a part of the pool's whole capacity, if the ramp leaves too little; else 0. */
  #surge(slots: Int32Array, queued: number): number {
    let demand = queued
    let whole = 0
    let allowed = 0
    for (const slot of slots) {
      const limit = this.#table.limit[slot] ?? 0
      // Without limits nobody knows what the others can bear.
      if (limit <= 0) return 0
      demand += loadOf(this.#table, slot)
      whole += limit
      allowed += limit * (this.#table.ramp[slot] ?? 1)
    }
    return demand > TIGHT * allowed ? Math.min(1, demand / whole) : 0
  }

  #share(slot: number): void {
    const { weight, ramp, handicap, share } = this.#table
    share[slot] = (weight[slot] ?? 1) * (ramp[slot] ?? 1) * (handicap[slot] ?? 1)
  }
}
