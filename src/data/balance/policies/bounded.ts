/**
 * Bounded loads for affinity policies (Mirrokni, Thorup and Zadimoghaddam, 2016): a backend takes its keys until it has more
 * than its fair share of the running calls; then they overflow. One hot key cannot drown a backend.
 */
import { type LoadTable, outstandingOf } from '../table.ts'

export interface BoundedOptions {
  /** How far above the fair share a backend may go; at least 1. Default 1.25. */
  readonly boundedLoad?: number
  /** Calls that a backend may always run: with few calls in all, the fair share would be below one. Default 4. */
  readonly minCap?: number
}

/** The most calls a backend may run, when the candidates run `total` and it has `part` of all shares. */
export function boundedCap(factor: number, part: number, total: number): number {
  // 1.25 * 8 / 4 may come out as 2.5000000000000004, which must not round up to one more at the next integer.
  return Math.ceil(factor * (total + 1) * part - 1e-9)
}

/** How many backends are summed for each pick, on the average. */
const SUMMED = 16

export class Bounds {
  readonly #table: LoadTable
  readonly #factor: number
  readonly #minCap: number
  #total = 0
  #shares = 0
  #count = 0
  #picksLeft = 0

  constructor(table: LoadTable, options: BoundedOptions) {
    this.#table = table
    this.#factor = options.boundedLoad ?? 1.25
    this.#minCap = options.minCap ?? 4
    if (!(this.#factor >= 1)) throw new RangeError(`boundedLoad must be at least 1, got ${this.#factor}`)
  }

  /** Sums the candidates' loads and shares: at each pick in small pools, less often in large ones. Called once a pick. */
  measure(slots: Int32Array, count: number): void {
    if (this.#picksLeft-- > 0 && count === this.#count) return
    this.#picksLeft = Math.floor(count / SUMMED) - 1
    this.#count = count
    let total = 0
    let shares = 0
    for (let at = 0; at < count; at++) {
      const slot = slots[at] ?? 0
      total += outstandingOf(this.#table, slot)
      shares += this.#table.share[slot] ?? 1
    }
    this.#total = total
    this.#shares = shares
  }

  /** Keeps the sum right between two measurements: +1 for a call that begins, -1 for one that ends. */
  count(change: 1 | -1): void {
    this.#total = Math.max(0, this.#total + change)
  }

  hasRoom(slot: number): boolean {
    const load = outstandingOf(this.#table, slot)
    if (load < this.#minCap) return true
    return load < boundedCap(this.#factor, (this.#table.share[slot] ?? 1) / this.#shares, this.#total)
  }
}
