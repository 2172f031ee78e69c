/**
 * The part of a pool's places that this gateway may use while calls wait for them at others as well, in memory that all
 * workers of the process share.
 */
import { placesAt } from './gateway-parts.ts'

/** With one number a pool; as plain data for `postMessage`. */
export interface PartTable {
  /** The places of the pool that are for all tenants, and how many of them this gateway uses. */
  readonly places: Float64Array
  readonly inUse: Float64Array
  /** The monotonic time at which free places were last of no use to the calls that wait here; 0: never. */
  readonly uselessAt: Float64Array
  /** The places in the row that are this gateway's, and the monotonic time at which that was agreed; 0: all are. */
  readonly from: Float64Array
  readonly until: Float64Array
  readonly agreedAt: Float64Array
  /** One number: the time that all gateways read, less the monotonic time. */
  readonly offset: Float64Array
}

const floats = (length: number): Float64Array => new Float64Array(new SharedArrayBuffer(length * 8))

export function createPartTable(slots: number): PartTable {
  return {
    places: floats(slots),
    inUse: floats(slots),
    uselessAt: floats(slots),
    from: floats(slots),
    until: floats(slots),
    agreedAt: floats(slots),
    offset: floats(1),
  }
}

/** Age at which what was agreed counts no more. */
export const STALE_MS = 1_000

export class PoolPart {
  readonly #table: PartTable
  readonly #column: number
  readonly #now: () => number

  constructor(table: PartTable, column: number, now: () => number) {
    this.#table = table
    this.#column = column
    this.#now = now
  }

  /** To be called about every 100 ms. */
  publish(places: number, inUse: number): void {
    this.#table.places[this.#column] = places
    this.#table.inUse[this.#column] = inUse
  }

  /** Calls wait here that have no use for the places that are free. */
  useless(): void {
    this.#table.uselessAt[this.#column] = this.#now()
  }

  /** How many places this gateway may use now; Infinity: all that are free. */
  get most(): number {
    const { from, until, agreedAt, offset } = this.#table
    const at = agreedAt[this.#column] ?? 0
    if (at === 0) return Infinity
    const now = this.#now()
    if (now - at > STALE_MS) return Infinity
    const part = { from: from[this.#column] ?? 0, until: until[this.#column] ?? 0 }
    return placesAt(part, now + (offset[0] ?? 0))
  }
}
