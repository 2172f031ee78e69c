/** What happened in a simulated run, by the time the call came: latencies, failures, attempts. */

export class Tally {
  readonly #cameAt: number[] = []
  readonly #tookMs: number[] = []
  readonly #failedAt: number[] = []
  readonly #failedCameAt: number[] = []
  readonly #attemptAt: number[] = []
  readonly #attemptSlot: number[] = []

  answer(cameAt: number, now: number): void {
    this.#cameAt.push(cameAt)
    this.#tookMs.push(now - cameAt)
  }

  failure(cameAt: number, now: number): void {
    this.#failedCameAt.push(cameAt)
    this.#failedAt.push(now)
  }

  attempt(now: number, slot: number): void {
    this.#attemptAt.push(now)
    this.#attemptSlot.push(slot)
  }

  /** Latency at quantile `q` of the calls that came in the span and were answered. */
  quantile(q: number, fromMs = 0, toMs = Infinity): number {
    const took = this.#tookMs.filter((_, at) => isIn(this.#cameAt[at], fromMs, toMs)).sort((a, b) => a - b)
    return took[Math.max(0, Math.ceil(q * took.length) - 1)] ?? Number.NaN
  }

  /** Calls of the span that were answered within `withinMs`. */
  answered(fromMs = 0, toMs = Infinity, withinMs = Infinity): number {
    let count = 0
    for (const [at, came] of this.#cameAt.entries()) {
      if (isIn(came, fromMs, toMs) && (this.#tookMs[at] ?? Infinity) <= withinMs) count++
    }
    return count
  }

  failed(fromMs = 0, toMs = Infinity): number {
    return this.#failedCameAt.filter((came) => isIn(came, fromMs, toMs)).length
  }

  /** Part of the calls of the span that were answered. */
  success(fromMs = 0, toMs = Infinity, withinMs = Infinity): number {
    const answered = this.answered(fromMs, toMs)
    return this.answered(fromMs, toMs, withinMs) / Math.max(1, answered + this.failed(fromMs, toMs))
  }

  /** Attempts for each call of the span. */
  amplification(fromMs = 0, toMs = Infinity): number {
    const attempts = this.#attemptAt.filter((at) => isIn(at, fromMs, toMs)).length
    return attempts / Math.max(1, this.answered(fromMs, toMs) + this.failed(fromMs, toMs))
  }

  /** Part of the attempts of the span that went to `slot`. */
  share(slot: number, fromMs = 0, toMs = Infinity): number {
    let to = 0
    let all = 0
    for (const [at, when] of this.#attemptAt.entries()) {
      if (!isIn(when, fromMs, toMs)) continue
      all++
      if (this.#attemptSlot[at] === slot) to++
    }
    return to / Math.max(1, all)
  }

  /** How long after `fromMs` until five seconds of calls are answered well; in milliseconds. */
  recoveryMs(fromMs: number, toMs: number, isWell: (success: number, p99: number) => boolean): number {
    let wellSince = fromMs
    for (let at = fromMs; at + 500 <= toMs; at += 500) {
      if (!isWell(this.success(at, at + 500), this.quantile(0.99, at, at + 500))) wellSince = at + 500
      else if (at + 500 - wellSince >= 5_000) return wellSince - fromMs
    }
    return Infinity
  }
}

function isIn(at: number | undefined, fromMs: number, toMs: number): boolean {
  return at !== undefined && at >= fromMs && at < toMs
}
