/**
 * A histogram of latencies with quantiles, exact to half a per cent from a microsecond up: hits take a fraction of the
 * millisecond that autocannon resolves.
 */

/** Ratio of the widths of neighbouring buckets. */
const RATIO = Math.log(1.005)

export class Latencies {
  readonly #counts = new Map<number, number>()
  readonly #everyMs: number
  #total = 0
  #max = 0

  /**
   * @param everyMs in an open loop, the interval between two calls of a connection. An answer that took longer delayed
   * further calls, whose waiting counts as well (Tene, "coordinated omission"). 0: a closed loop
   */
  constructor(everyMs = 0) {
    this.#everyMs = everyMs
  }

  add(ms: number): void {
    this.#max = Math.max(this.#max, ms)
    this.#count(ms)
    if (this.#everyMs > 0)
      for (let rest = ms - this.#everyMs; rest >= this.#everyMs; rest -= this.#everyMs) this.#count(rest)
  }

  get max(): number {
    return this.#max
  }

  /** In milliseconds; 0 where nothing was counted. */
  quantile(q: number): number {
    let rest = q * this.#total
    for (const [bucket, count] of [...this.#counts].sort(([a], [b]) => a - b)) {
      rest -= count
      if (rest <= 0) return Math.min(this.#max, Math.exp(bucket * RATIO))
    }
    return this.#max
  }

  #count(ms: number): void {
    const bucket = Math.round(Math.log(Math.max(0.001, ms)) / RATIO)
    this.#counts.set(bucket, (this.#counts.get(bucket) ?? 0) + 1)
    this.#total++
  }
}

/** `312 µs`, `4.56 ms`, `1.20 s` */
export function formatMs(ms: number): string {
  if (ms < 1) return `${Math.round(ms * 1000)} µs`
  return ms < 1000 ? `${ms.toPrecision(3)} ms` : `${(ms / 1000).toFixed(2)} s`
}
