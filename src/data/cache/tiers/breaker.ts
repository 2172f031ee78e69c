/**
 * The circuit breaker of a shared tier: when to stop asking the tier, and when to try again. A slow cache is worse than
 * none, so slowness counts as well as failure. While open, the breaker lets one operation through after each hold, as a
 * probe.
 *
 * Closed → open: five failures in a row; or five in ten seconds that are at least a twentieth of all (so that rare blips
 * under heavy traffic do not stop a good tier); or, of at least twenty operations, four slow ones in five. If half of
 * twenty fail, it opens within the second. It stays open for two seconds, doubling up to sixty while the tier relapses,
 * each time a fifth more or less.
 */
import type { Clock } from '../../../lib/clock.ts'

export type BreakerState = 'closed' | 'open' | 'probing'

/** `cut`: the operation was stopped before it had its full time, which says nothing of the tier. */
export type BreakerOutcome = 'ok' | 'slow' | 'error' | 'cut'

export interface BreakerOptions {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly onChange: (state: BreakerState, reason: string, holdMs: number) => void
}

const WINDOW_MS = 10_000
const BUCKET_MS = 1_000
const FAILURES = 5
const FAILURE_SHARE = 0.05
const SLOW_SHARE = 0.8
const MIN_OPERATIONS = 20
const FIRST_HOLD_MS = 2_000
const MAX_HOLD_MS = 60_000
const JITTER = 0.2

interface Bucket {
  readonly since: number
  ok: number
  slow: number
  error: number
}

export class Breaker {
  readonly #options: BreakerOptions
  #state: BreakerState = 'closed'
  /** Grows with every change of state: an operation that began before a change is not counted after it. */
  #era = 1
  #buckets: Bucket[] = []
  #inARow = 0
  #holdMs = FIRST_HOLD_MS
  #until = 0
  #closedAt: number

  constructor(options: BreakerOptions) {
    this.#options = options
    this.#closedAt = Number.NEGATIVE_INFINITY
  }

  /** `probing` only while the one probe is under way. */
  get state(): BreakerState {
    return this.#state
  }

  /** Whether an operation would be refused now, even as a probe. */
  get isHeld(): boolean {
    return this.#state === 'open' && this.#options.clock.now() < this.#until
  }

  /** A ticket for one operation, for `record` to get back with the outcome; undefined: do not try. */
  admit(): number | undefined {
    if (this.#state === 'closed') return this.#era
    if (this.#state === 'probing' || this.#options.clock.now() < this.#until) return undefined
    this.#change('probing', 'one operation is let through', 0)
    return this.#era
  }

  record(ticket: number, outcome: BreakerOutcome): void {
    if (ticket !== this.#era) return
    if (this.#state === 'probing') {
      if (outcome === 'ok') this.#close()
      else this.#open(`the probe ended with: ${outcome}`)
      return
    }
    if (outcome === 'cut') return
    const bucket = this.#bucket()
    bucket[outcome]++
    this.#inARow = outcome === 'error' ? this.#inARow + 1 : 0
    const reason = this.#verdict()
    if (reason) this.#open(reason)
  }

  #verdict(): string | undefined {
    if (this.#inARow >= FAILURES) return `${this.#inARow} failures in a row`
    let ok = 0
    let slow = 0
    let error = 0
    for (const bucket of this.#buckets) {
      ok += bucket.ok
      slow += bucket.slow
      error += bucket.error
    }
    const all = ok + slow + error
    if (error >= FAILURES && error >= all * FAILURE_SHARE) return `${error} of ${all} failed`
    if (all >= MIN_OPERATIONS && slow >= all * SLOW_SHARE) return `${slow} of ${all} were slow`
    return undefined
  }

  #bucket(): Bucket {
    const now = this.#options.clock.now()
    const last = this.#buckets.at(-1)
    if (last && now - last.since < BUCKET_MS) return last
    this.#buckets = this.#buckets.filter((bucket) => now - bucket.since < WINDOW_MS)
    const bucket = { since: now, ok: 0, slow: 0, error: 0 }
    this.#buckets.push(bucket)
    return bucket
  }

  #open(reason: string): void {
    const now = this.#options.clock.now()
    const relapsed = this.#state === 'probing' || now - this.#closedAt < WINDOW_MS
    this.#holdMs = relapsed ? Math.min(MAX_HOLD_MS, this.#holdMs * 2) : FIRST_HOLD_MS
    const holdMs = this.#holdMs * (1 - JITTER + 2 * JITTER * this.#options.random())
    this.#until = now + holdMs
    this.#change('open', reason, holdMs)
  }

  #close(): void {
    this.#closedAt = this.#options.clock.now()
    this.#change('closed', 'the probe succeeded', 0)
  }

  #change(state: BreakerState, reason: string, holdMs: number): void {
    this.#state = state
    this.#era++
    this.#buckets = []
    this.#inARow = 0
    this.#options.onChange(state, reason, holdMs)
  }
}
