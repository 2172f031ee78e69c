/**
 * When the next call of a warming may go out: at a bounded rate, and behind callers. While calls wait for the pool, its backends
 * are nearly full or none is ready, none goes out; where answers take longer than they did, fewer do.
 */
import type { Clock } from '../../lib/clock.ts'

/** The state of a pool as far as a warming goes by it. */
export interface PoolPressure {
  /** Backends that may take calls. */
  readonly ready: number
  /** Calls that wait for one. */
  readonly queued: number
  /** Calls that run there, of this gateway and others. */
  readonly inflight: number
  /** The most that may run; undefined: nobody knows. */
  readonly limit: number | undefined
  /** Mean milliseconds to an answer; undefined: there was none. */
  readonly latencyMs: number | undefined
}

/** Why no call goes out. */
export type Pause = 'no backend' | 'queue' | 'busy'

export interface PaceOptions {
  /** Calls a second. */
  readonly rate: number
  readonly pressure: () => PoolPressure
  readonly clock: Clock
}

/** The part of the places that a warming leaves free. */
const SPARED = 0.25
/** Answers that take so many times as long as the shortest mean, and this much longer, are slow. */
const SLOW = 2
const SLOW_MS = 5
/** By how much the shortest mean that was seen grows in a second, so that it is not for ever that of an idle pool. */
const DRIFT = 1.005
const LOOK_MS = 100
const SECOND_MS = 1_000
const LEAST = 1 / 16
/** The part of the rate that comes back in a second. */
const GROWTH = 0.125

export class WarmPace {
  readonly #options: PaceOptions
  #nextAt: number
  #lookedAt: number
  #loweredAt = Number.NEGATIVE_INFINITY
  #factor = 1
  #shortestMs: number | undefined
  #pause: Pause | undefined

  constructor(options: PaceOptions) {
    this.#options = options
    this.#nextAt = this.#lookedAt = options.clock.now()
    this.#look()
  }

  /** Why nothing goes out now; undefined: something does. */
  get pause(): Pause | undefined {
    return this.#pause
  }

  /** Calls a second, as it is now. */
  get rate(): number {
    return this.#pause ? 0 : this.#options.rate * this.#factor
  }

  /** Milliseconds until the next call may go out; 0: now, and it counts as one that did. */
  take(): number {
    const now = this.#options.clock.now()
    if (now - this.#lookedAt >= LOOK_MS) this.#look()
    if (this.#pause) return LOOK_MS
    const waitMs = this.#nextAt - now
    if (waitMs > 0) return Math.min(waitMs, LOOK_MS)
    // What was not used meanwhile is not made up for.
    this.#nextAt = Math.max(this.#nextAt, now - LOOK_MS) + SECOND_MS / (this.#options.rate * this.#factor)
    return 0
  }

  #look(): void {
    const { pressure, clock } = this.#options
    const now = clock.now()
    const seconds = (now - this.#lookedAt) / SECOND_MS
    this.#lookedAt = now
    const { ready, queued, inflight, limit = Number.POSITIVE_INFINITY, latencyMs } = pressure()
    this.#pause =
      ready === 0 ? 'no backend' : queued > 0 ? 'queue' : inflight > limit * (1 - SPARED) ? 'busy' : undefined
    if (this.#pause || this.#isSlow(latencyMs, seconds)) this.#lower(now)
    else this.#factor = Math.min(1, this.#factor + GROWTH * seconds)
  }

  #isSlow(latencyMs: number | undefined, seconds: number): boolean {
    if (latencyMs === undefined) return false
    const shortest = Math.min(latencyMs, (this.#shortestMs ?? latencyMs) * DRIFT ** seconds)
    this.#shortestMs = shortest
    return latencyMs > shortest * SLOW + SLOW_MS
  }

  #lower(now: number): void {
    if (now - this.#loweredAt < SECOND_MS) return
    this.#loweredAt = now
    this.#factor = Math.max(LEAST, this.#factor / 2)
  }
}
