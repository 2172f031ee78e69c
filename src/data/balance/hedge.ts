/**
 * Hedging: a second attempt elsewhere when the first takes longer than 19 of 20 do (Dean and Barroso, "The Tail at Scale",
 * 2013). A flight is hedged once, not for each of its callers; the better answer wins and the other attempt is cancelled.
 *
 * A budget keeps a pool that becomes slow as a whole from getting twice the load: then every call is later than the old
 * p95.
 */
import { SlidingQuantiles } from '../../lib/window.ts'

export interface HedgeOptions {
  /** Default 0.95. */
  readonly quantile?: number
  /** Hedges per hundred flights. Default 5. */
  readonly budgetPercent?: number
  /** The most hedges saved up. Default 10. */
  readonly burst?: number
  /** Default 1 ms. */
  readonly minDelayMs?: number
  /** Latencies that the quantile needs. Default 100. */
  readonly minSamples?: number
  /** A pool busier than this gets no hedges. Default 0.7. */
  readonly maxSaturation?: number
}

/** The facts by which a flight may be hedged or not. */
export interface HedgeSituation {
  readonly now: number
  readonly remainingMs: number
  /** Backends that may take the call, the first one's included. */
  readonly routable: number
  /** Share of the pool's limits in use. */
  readonly saturation: number
}

/** After this many hedges it is judged whether hedging helps: this share must win, or hedging pauses. */
const TRIAL = 1_000
const MIN_WINS = 0.1
const PAUSE_MS = 300_000
const WINDOW_MS = 30_000
/** How long quantiles are used. */
const FRESH_MS = 250

export class Hedger {
  readonly #options: Required<HedgeOptions>
  readonly #latencies = new SlidingQuantiles(WINDOW_MS)
  #tokens = 0
  #hedges = 0
  #wins = 0
  #offUntil = -Infinity
  #freshAt = -Infinity
  #delayMs = 0
  #medianMs = 0
  #samples = 0

  constructor(options: HedgeOptions = {}) {
    this.#options = {
      quantile: options.quantile ?? 0.95,
      budgetPercent: options.budgetPercent ?? 5,
      burst: options.burst ?? 10,
      minDelayMs: options.minDelayMs ?? 1,
      minSamples: options.minSamples ?? 100,
      maxSaturation: options.maxSaturation ?? 0.7,
    }
  }

  /** A backend succeeded after `ms`. */
  observe(now: number, ms: number): void {
    this.#latencies.add(now, ms)
  }

  /** A flight begins, and adds its part of a hedge to the budget. Returns the delay of the hedge; undefined: do not hedge. */
  start(situation: HedgeSituation): number | undefined {
    const { burst, budgetPercent, maxSaturation, minSamples } = this.#options
    this.#tokens = Math.min(burst, this.#tokens + budgetPercent / 100)
    this.#refresh(situation.now)
    if (situation.now < this.#offUntil || situation.routable < 2) return undefined
    if (situation.saturation >= maxSaturation || this.#samples < minSamples) return undefined
    // The second attempt needs time as well.
    if (situation.remainingMs < this.#delayMs + this.#medianMs) return undefined
    return this.#delayMs
  }

  /** Takes a hedge from the budget when its time has come. False: none is left, and the first attempt goes on alone. */
  tryTake(): boolean {
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  /** A hedged flight is over; `isWin`: the second attempt was first. If hedges seldom win, hedging pauses for five minutes. */
  settle(now: number, isWin: boolean): void {
    this.#hedges++
    if (isWin) this.#wins++
    if (this.#hedges < TRIAL) return
    if (this.#wins < MIN_WINS * this.#hedges) this.#offUntil = now + PAUSE_MS
    this.#hedges = 0
    this.#wins = 0
  }

  #refresh(now: number): void {
    if (now - this.#freshAt < FRESH_MS && now >= this.#freshAt) return
    this.#freshAt = now
    this.#samples = this.#latencies.count(now)
    const late = this.#latencies.quantile(now, this.#options.quantile) ?? 0
    this.#delayMs = Math.max(this.#options.minDelayMs, late)
    this.#medianMs = this.#latencies.quantile(now, 0.5) ?? 0
  }
}
