/**
 * Detects backends that are much slower than the others: p95 of ten seconds, against all others together. A slow backend
 * loses most of its weight first and is ejected second, since its answers are right.
 */
import { LATENCY_BUCKETS, quantileOf } from '../../../lib/window.ts'
import type { LoadTable } from '../table.ts'
import type { OutlierState } from './outlier-state.ts'
import { CLOSED } from './outlier-state.ts'

const WINDOW_MS = 10_000
/** This many windows in a row decide. */
const WINDOWS = 3
const SLOW_SHARE = 0.2
/** Calls that a window needs to be judged; fewer where a slow backend gets few because of its weight. */
const ENOUGH = 50
const ENOUGH_HELD = 10

export class SlowBackends {
  readonly #table: LoadTable
  readonly #state: OutlierState
  readonly #factor: number
  readonly #pooled = new Float64Array(LATENCY_BUCKETS)

  constructor(shared: { readonly table: LoadTable; readonly state: OutlierState }, factor: number) {
    this.#table = shared.table
    this.#state = shared.state
    this.#factor = factor
  }

  /** Closes a latency window that is over; returns the backends that stayed slow in spite of less weight. */
  judge(members: Int32Array, now: number): readonly number[] {
    const [first] = members
    const window = Math.floor(now / WINDOW_MS)
    if (first === undefined || Atomics.exchange(this.#state.judgedLatency, first, window) === window)
      return []
    this.#pooled.fill(0)
    for (const slot of members) this.#pool(slot, 1)
    const condemned: number[] = []
    for (const slot of members) {
      if (this.#state.phase[slot] === CLOSED && this.#isCondemned(slot)) condemned.push(slot)
    }
    for (const slot of members) {
      this.#state.latencies.fill(0, slot * LATENCY_BUCKETS, (slot + 1) * LATENCY_BUCKETS)
    }
    return condemned
  }

  #isCondemned(slot: number): boolean {
    const isHeld = (this.#table.handicap[slot] ?? 1) < 1
    const calls = this.#calls(this.#state.latencies, slot * LATENCY_BUCKETS)
    this.#pool(slot, -1)
    const others = this.#calls(this.#pooled, 0)
    const othersMs = quantileOf(this.#pooled, 0, Math.ceil(0.95 * others))
    this.#pool(slot, 1)
    if (others < ENOUGH || calls < (isHeld ? ENOUGH_HELD : ENOUGH)) {
      this.#quiet(slot)
      return false
    }
    const ownMs = quantileOf(this.#state.latencies, slot * LATENCY_BUCKETS, Math.ceil(0.95 * calls))
    return this.#timed(slot, ownMs > othersMs * this.#factor)
  }

  #timed(slot: number, isSlow: boolean): boolean {
    const { slowWindows, quietWindows } = this.#state
    const { handicap } = this.#table
    quietWindows[slot] = 0
    slowWindows[slot] = isSlow ? (slowWindows[slot] ?? 0) + 1 : 0
    if (!isSlow) handicap[slot] = 1
    if ((slowWindows[slot] ?? 0) < WINDOWS) return false
    slowWindows[slot] = 0
    if ((handicap[slot] ?? 1) < 1) return true
    handicap[slot] = SLOW_SHARE
    return false
  }

  /** Too few calls to judge: after some windows the backend gets its weight back, or it would never be judged again. */
  #quiet(slot: number): void {
    const { quietWindows } = this.#state
    quietWindows[slot] = (quietWindows[slot] ?? 0) + 1
    if ((quietWindows[slot] ?? 0) >= WINDOWS) this.#table.handicap[slot] = 1
  }

  #calls(counts: ArrayLike<number>, start: number): number {
    let calls = 0
    for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) calls += counts[start + bucket] ?? 0
    return calls
  }

  #pool(slot: number, sign: 1 | -1): void {
    const start = slot * LATENCY_BUCKETS
    for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
      this.#pooled[bucket] = (this.#pooled[bucket] ?? 0) + sign * (this.#state.latencies[start + bucket] ?? 0)
    }
  }
}
