/**
 * The probe pool of Prequal (Wydrowski et al., NSDI 2024): a few recent readings of random backends, each used a few times
 * and then replaced, so that many gateways do not choose the same least-loaded backend.
 */

export interface PoolOptions {
  /** Readings held. */
  readonly size: number
  readonly maxAgeMs: number
}

/**
 * How often one reading may be used before it misleads: `(1 + δ) / ((1 − m/n)·probes − removals)`, at least 1
 * (section 4.2 of the paper, δ = 1). Undefined where probes do not replace readings as fast as they are spent.
 */
export function reuseBudget(
  size: number,
  backends: number,
  rates: { probes: number; removals: number },
): number | undefined {
  const replaced = (1 - size / backends) * rates.probes - rates.removals
  return replaced <= 1e-12 ? undefined : Math.max(1, 2 / replaced)
}

export class ProbePool {
  readonly #size: number
  readonly #maxAgeMs: number
  readonly #slot: Int32Array
  readonly #running: Float64Array
  readonly #latencyMs: Float64Array
  readonly #at: Float64Array
  readonly #usesLeft: Float64Array
  #held = 0
  #removesOldest = true

  constructor({ size, maxAgeMs }: PoolOptions) {
    this.#size = size
    this.#maxAgeMs = maxAgeMs
    this.#slot = new Int32Array(size)
    this.#running = new Float64Array(size)
    this.#latencyMs = new Float64Array(size)
    this.#at = new Float64Array(size)
    this.#usesLeft = new Float64Array(size)
  }

  get held(): number {
    return this.#held
  }

  slotAt(place: number): number {
    return this.#slot[place] ?? 0
  }

  runningAt(place: number): number {
    return this.#running[place] ?? 0
  }

  latencyAt(place: number): number {
    return this.#latencyMs[place] ?? 0
  }

  /** Adds a reading, replacing the oldest where the pool is full. To be followed by `value` with its numbers. */
  add(slot: number, now: number, uses: number): void {
    if (this.#held === this.#size) this.#remove(this.#oldest())
    const place = this.#held++
    this.#slot[place] = slot
    this.#at[place] = now
    this.#usesLeft[place] = uses
  }

  /** Sets the numbers of the reading added last. */
  value(running: number, latencyMs: number): void {
    this.#running[this.#held - 1] = running
    this.#latencyMs[this.#held - 1] = latencyMs
  }

  /** Drops readings that are too old or used up. */
  expire(now: number): void {
    for (let place = this.#held - 1; place >= 0; place--) {
      const isOld = now - (this.#at[place] ?? 0) > this.#maxAgeMs
      if (isOld || (this.#usesLeft[place] ?? 0) < 1) this.#remove(place)
    }
  }

  /** A call goes to the backend of this reading: one more running there, one use fewer. */
  use(place: number): void {
    this.#running[place] = (this.#running[place] ?? 0) + 1
    this.#usesLeft[place] = (this.#usesLeft[place] ?? 0) - 1
  }

  /** Drops the oldest and the worst in turn: otherwise the pool would fill with readings that are never used. */
  degrade(hotAbove: number): void {
    if (this.#held === 0) return
    this.#remove(this.#removesOldest ? this.#oldest() : this.#worst(hotAbove))
    this.#removesOldest = !this.#removesOldest
  }

  #oldest(): number {
    let oldest = 0
    for (let place = 1; place < this.#held; place++) {
      if ((this.#at[place] ?? 0) < (this.#at[oldest] ?? 0)) oldest = place
    }
    return oldest
  }

  /** The hot one with the most running; where none is hot, the slowest. */
  #worst(hotAbove: number): number {
    let busiest = 0
    let slowest = 0
    for (let place = 1; place < this.#held; place++) {
      if (this.runningAt(place) > this.runningAt(busiest)) busiest = place
      if (this.latencyAt(place) > this.latencyAt(slowest)) slowest = place
    }
    return this.runningAt(busiest) > hotAbove ? busiest : slowest
  }

  #remove(place: number): void {
    const last = --this.#held
    this.#slot[place] = this.#slot[last] ?? 0
    this.#running[place] = this.#running[last] ?? 0
    this.#latencyMs[place] = this.#latencyMs[last] ?? 0
    this.#at[place] = this.#at[last] ?? 0
    this.#usesLeft[place] = this.#usesLeft[last] ?? 0
  }
}

/** More running calls than this count as this many. */
const MOST_RUNNING = 1024

/** The number of calls running at rank `rank` (1 is the least) in a histogram. */
function rankOf(loads: Int32Array, rank: number): number {
  let seen = 0
  for (let running = 0; running < loads.length; running++) {
    seen += loads[running] ?? 0
    if (seen >= rank) return running
  }
  return loads.length
}

/**
 * Calls running by the latest reading of each backend. Hot and cold are decided over these and not over the probe pool,
 * which holds some backends twice and has lost the worst.
 */
export class LatestRunning {
  readonly #bySlot: Int32Array
  readonly #loads = new Int32Array(MOST_RUNNING)
  #known = 0

  constructor(slots: number) {
    this.#bySlot = new Int32Array(slots).fill(-1)
  }

  set(slot: number, running: number): void {
    this.remove(slot)
    const load = Math.min(running, MOST_RUNNING - 1)
    this.#bySlot[slot] = load
    this.#loads[load] = (this.#loads[load] ?? 0) + 1
    this.#known++
  }

  remove(slot: number): void {
    const load = this.#bySlot[slot] ?? -1
    if (load < 0) return
    this.#loads[load] = (this.#loads[load] ?? 0) - 1
    this.#bySlot[slot] = -1
    this.#known--
  }

  clear(): void {
    this.#bySlot.fill(-1)
    this.#loads.fill(0)
    this.#known = 0
  }

  quantile(q: number): number {
    return rankOf(this.#loads, Math.ceil(q * this.#known))
  }
}
