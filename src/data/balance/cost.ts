/**
 * The expected cost of a call to a backend, in milliseconds: its smoothed latency and a charge for its failures. Both lie
 * in the load table, so that all workers learn from each other's calls.
 *
 * Failures are charged because a backend that answers 500 in one millisecond otherwise looks like the fastest and draws
 * all traffic. The charge follows the share of failed calls and not the last one: a penalty latency put into the peak
 * average would shut out a healthy backend for half a minute over one error in a thousand calls.
 *
 * A call that is cancelled shows only that its answer takes longer. Where hedges rescue every call at once, nobody ever
 * sees how slow a backend has become. So each call that another backend answered first, without a good answer in between,
 * doubles the bound. A caller who leaves does not: many leave together.
 */
import { decayed, peaked } from '../../lib/ewma.ts'
import type { AttemptOutcome, PolicyContext } from './policies/policy.ts'

export interface CostOptions {
  /** How fast an estimate without new samples fades toward the pool's median. Default 10 s, as Finagle and Linkerd. */
  readonly decayMs?: number
  /** The least charge of a failed call; ten medians where that is more. Default 5 s, as Linkerd. */
  readonly penaltyMs?: number
}

/**
 * How much slower than latency the failures fade without calls. Calls that succeed clear them at once, while each new
 * attempt at a backend that still fails costs some call a failure.
 */
const FADE = 3
/** How much one call moves the share of failures, and at least moves the latency down. */
const STEP = 0.05
/**
 * Above this share of failures a success halves it. After an outage of all backends, one that still fails answers fastest:
 * it would draw the calls until each of the others had some forty successes.
 */
const MOSTLY = 0.2
/** How many calls outrun in a row count: a bound of 32 times the latency shuts a backend out for long enough. */
const MAX_DOUBLINGS = 5
/** How long a median is used. */
const MEDIAN_MS = 100

export class Costs {
  readonly #context: PolicyContext
  readonly #decayMs: number
  readonly #penaltyMs: number
  readonly #sorted: Float64Array
  #medianMs = 0
  #medianAt = -Infinity

  constructor(context: PolicyContext, options: CostOptions = {}) {
    this.#context = context
    this.#decayMs = options.decayMs ?? 10_000
    this.#penaltyMs = options.penaltyMs ?? 5_000
    this.#sorted = new Float64Array(context.table.slots)
  }

  /** Recomputes the pool's median when it is old; called once a pick. */
  prepare(slots: Int32Array, count: number, now: number): void {
    if (now - this.#medianAt < MEDIAN_MS && now >= this.#medianAt) return
    let seen = 0
    for (let at = 0; at < count; at++) {
      const slot = slots[at] ?? 0
      if (this.#context.table.ewmaMs[slot]) this.#sorted[seen++] = this.latencyMs(slot, now)
    }
    this.#medianAt = now
    if (seen === 0) return
    this.#medianMs = this.#sorted.subarray(0, seen).sort()[(seen - 1) >> 1] ?? 0
  }

  /** Smoothed latency, fading toward the median without new samples; the median itself for a backend never seen. */
  latencyMs(slot: number, now: number): number {
    const { ewmaMs, ewmaAt } = this.#context.table
    const cost = ewmaMs[slot] ?? 0
    if (cost === 0) return this.#medianMs
    if (this.#medianMs === 0) return cost
    return decayed(cost, this.#medianMs, now - (ewmaAt[slot] ?? now), this.#decayMs)
  }

  /** The expected cost of one call: latency and the charge for failures, never 0. */
  costMs(slot: number, now: number): number {
    return this.latencyMs(slot, now) + this.failureMs(slot, now) + 1e-3
  }

  failureMs(slot: number, now: number): number {
    const { failing, failingAt } = this.#context.table
    const share = failing[slot] ?? 0
    if (share === 0) return 0
    const left = decayed(share, 0, now - (failingAt[slot] ?? now), FADE * this.#decayMs)
    return left < 1e-6 ? 0 : left * Math.max(this.#penaltyMs, 10 * this.#medianMs)
  }

  onEnd(slot: number, ms: number, ending: AttemptOutcome, now = this.#context.now()): void {
    const { failing, failingAt } = this.#context.table
    const share = decayed(failing[slot] ?? 0, 0, now - (failingAt[slot] ?? now), FADE * this.#decayMs)
    if (ending === 'ok') {
      if (share > 0) failing[slot] = share < 1e-6 ? 0 : share * (share > MOSTLY ? 0.5 : 1 - STEP)
      this.#context.table.lapses[slot] = 0
      this.#observe(slot, ms, now)
    } else {
      failing[slot] = share + (1 - share) * STEP
      // A failure proves nothing good about the latency, but a slow one proves something bad.
      this.#atLeast(slot, ms, now)
    }
    failingAt[slot] = now
  }

  /** The call was cancelled: its answer would have come later than this. */
  onCancel(slot: number, elapsedMs: number, isOutrun: boolean): void {
    const { lapses } = this.#context.table
    const before = isOutrun ? (lapses[slot] ?? 0) : 0
    // A hedge may be sent before half of the answers come; then it says nothing of the first backend.
    if (isOutrun && this.#medianMs > 0 && elapsedMs > this.#medianMs)
      lapses[slot] = Math.min(before + 1, MAX_DOUBLINGS)
    this.#atLeast(slot, elapsedMs * 2 ** before, this.#context.now())
  }

  /** A lower bound can raise the estimate and never lower it. */
  #atLeast(slot: number, ms: number, now: number): void {
    const isKnown = (this.#context.table.ewmaMs[slot] ?? 0) > 0
    if (isKnown && ms > this.latencyMs(slot, now)) this.#observe(slot, ms, now)
  }

  #observe(slot: number, ms: number, now: number): void {
    const { ewmaMs, ewmaAt } = this.#context.table
    const sample = Math.max(ms, 1e-3)
    const known = ewmaMs[slot] ?? 0
    const next = known === 0 ? sample : peaked(known, sample, now - (ewmaAt[slot] ?? now), this.#decayMs)
    // Twenty good answers outweigh a bad one, however quickly they come.
    ewmaMs[slot] = Math.min(next, Math.max(sample, known + (sample - known) * STEP))
    ewmaAt[slot] = now
  }
}
