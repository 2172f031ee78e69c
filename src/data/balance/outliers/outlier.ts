/**
 * Outlier detection: a backend that answers worse than the others is ejected for a while, then gets a single call, and
 * returns when three in a row succeed. Backends are compared with each other: when all fail, the fault is in the model or
 * the input, and ejections would only make it worse.
 *
 * Pure: time and random numbers are passed in. `observe` runs at the end of every call, `tick` once a second.
 */

import type { AttemptOutcome } from '../policies/policy.ts'
import type { LoadTable } from '../table.ts'
import { SlowBackends } from './outlier-latency.ts'
import { ejectionMs, isBelowOthers, mostEjected, SPREAD_FROM, spreadThreshold } from './outlier-rules.ts'
import * as state from './outlier-state.ts'

export interface OutlierOptions {
  /** Failures in a row that eject at once; answers of 429 and 503 do not count here. Default 5. */
  readonly consecutive?: number
  /** Ejection times its count, up to the maximum. Defaults 30 s and 5 min. */
  readonly baseEjectionMs?: number
  readonly maxEjectionMs?: number
  /** The most of the pool that may be ejected; one is always allowed. Default 10. */
  readonly maxPercent?: number
  /** Default 1. */
  readonly minRoutable?: number
  /** How many times slower than the others, at p95. Default 3. */
  readonly slowFactor?: number
}

export interface OutlierContext {
  readonly table: LoadTable
  readonly state: state.OutlierState
  readonly random: () => number
  readonly now: () => number
}

/** After this time a half-open call that never ended no longer counts. */
const PROBE_LOST_MS = 30_000
const PASSES = 3

export class Outliers {
  /** More than half of the pool's backends fail most of their calls: none is ejected for it. */
  isPoolFailing = false
  readonly #context: OutlierContext
  readonly #state: state.OutlierState
  readonly #options: Required<OutlierOptions>
  readonly #slow: SlowBackends
  #members: Int32Array = new Int32Array(0)

  constructor(context: OutlierContext, options: OutlierOptions = {}) {
    this.#context = context
    this.#state = context.state
    this.#options = {
      consecutive: options.consecutive ?? 5,
      baseEjectionMs: options.baseEjectionMs ?? 30_000,
      maxEjectionMs: options.maxEjectionMs ?? 300_000,
      maxPercent: options.maxPercent ?? 10,
      minRoutable: options.minRoutable ?? 1,
      slowFactor: options.slowFactor ?? 3,
    }
    this.#slow = new SlowBackends(context, this.#options.slowFactor)
  }

  /** Changes with every ejection and return: lists built from `isRoutable` are valid for one version. */
  get version(): number {
    return Atomics.load(this.#state.shared, state.VERSION)
  }

  /** Sets the backends that are compared: those that the control plane calls ready. */
  members(slots: Int32Array): void {
    this.#members = slots
  }

  isRoutable(slot: number): boolean {
    return this.#state.phase[slot] === state.CLOSED
  }

  isHalfOpen(slot: number): boolean {
    return this.#state.phase[slot] === state.HALF_OPEN
  }

  /** Monotonic time until which the slot is ejected; undefined where it is not. */
  ejectedUntil(slot: number): number | undefined {
    return this.#state.phase[slot] === state.EJECTED ? this.#state.until[slot] : undefined
  }

  /** Why the slot was ejected last, for people. */
  ejectionReason(slot: number): string {
    return state.ejectionCauseOf(this.#state, slot).reason
  }

  /** Lets calls through to a half-open backend: one at first, then two, then four at a time. */
  admit(slot: number): boolean {
    const { probing, passed, probedAt } = this.#state
    if (!this.isHalfOpen(slot) || (probing[slot] ?? 0) >= 1 << (passed[slot] ?? 0)) return false
    Atomics.add(probing, slot, 1)
    probedAt[slot] = this.#context.now()
    return true
  }

  observe(slot: number, ms: number, ending: AttemptOutcome, now = this.#context.now()): void {
    state.turnSlices(this.#state, now)
    const isGood = ending === 'ok'
    state.countCall(this.#state, slot, isGood)
    if (isGood) {
      state.countLatency(this.#state, slot, ms)
      this.#state.consecutive[slot] = 0
    } else if (ending !== 'overloaded') Atomics.add(this.#state.consecutive, slot, 1)

    if (this.isHalfOpen(slot)) this.#probed(slot, isGood, now)
    else if ((this.#state.consecutive[slot] ?? 0) >= this.#options.consecutive)
      this.#tryEject(slot, now, 'consecutive')
  }

  /** A call that was let through ended without an answer. */
  release(slot: number): void {
    if (this.isHalfOpen(slot) && (this.#state.probing[slot] ?? 0) > 0)
      Atomics.sub(this.#state.probing, slot, 1)
  }

  /** The slot has passed to another backend. */
  forget(slot: number): void {
    state.clearCalls(this.#state, slot)
    this.#state.ejections[slot] = 0
    this.#state.ejected[slot] = 0
    this.#enter(slot, state.CLOSED, this.#context.now())
  }

  /** Judges all members; the first caller in a second does it for all that share the state. */
  tick(now: number): void {
    state.turnSlices(this.#state, now)
    this.isPoolFailing = this.#failingShare(-1) > 0.5
    const [first] = this.#members
    const second = Math.floor(now / 1000)
    if (first === undefined || Atomics.exchange(this.#state.judged, first, second) === second) return
    for (const slot of this.#members) this.#age(slot, now)
    for (const slot of this.#slow.judge(this.#members, now)) this.#tryEject(slot, now, 'slow')
    for (const slot of this.#suspects()) this.#tryEject(slot, now, 'failures')
  }

  /** The members with bad records in the window, worst first. */
  #suspects(): number[] {
    const good = (slot: number) => state.callsOf(this.#state, slot, this.#state.good)
    const bad = (slot: number) => state.callsOf(this.#state, slot, this.#state.bad)
    const records = [...this.#members]
      .filter((slot) => this.isRoutable(slot))
      .map((slot) => ({ slot, good: good(slot), calls: good(slot) + bad(slot) }))
    const total = records.reduce((sum, record) => sum + record.good, 0)
    const calls = records.reduce((sum, record) => sum + record.calls, 0)
    const busy = records.filter((record) => record.calls >= 100)
    const threshold =
      busy.length >= SPREAD_FROM ? spreadThreshold(busy.map((r) => r.good / r.calls)) : undefined
    return records
      .filter((record) => {
        if (record.calls >= 50 && record.good <= 0.15 * record.calls) return true
        if (threshold !== undefined) return record.calls >= 100 && record.good / record.calls < threshold
        return isBelowOthers(record, { good: total - record.good, calls: calls - record.calls })
      })
      .sort((a, b) => a.good / a.calls - b.good / b.calls)
      .map((record) => record.slot)
  }

  /** Counts the candidate among the ejected before it checks the bounds: otherwise the last backend could be ejected too. */
  #tryEject(slot: number, now: number, cause: state.EjectionCause): void {
    if (!this.isRoutable(slot) || this.#failingShare(slot) > 0.5) return
    let ejected = 0
    let isMember = false
    for (const member of this.#members) {
      if (member === slot) isMember = true
      if (!this.isRoutable(member)) ejected++
    }
    const { maxPercent, minRoutable } = this.#options
    const count = this.#members.length
    if (!isMember || ejected + 1 > mostEjected(count, maxPercent) || count - ejected - 1 < minRoutable) return
    this.#eject(slot, now, cause)
  }

  #eject(slot: number, now: number, cause: state.EjectionCause): void {
    const { baseEjectionMs: baseMs, maxEjectionMs: maxMs } = this.#options
    // While all fail this backend is no worse than any, and must be back as soon as they are.
    const times = this.isPoolFailing ? 0 : (this.#state.ejections[slot] ?? 0) + 1
    if (times > 0) this.#state.ejections[slot] = times
    // Jitter: backends ejected together must not come back in the same second.
    const jitter = 0.9 + 0.2 * this.#context.random()
    this.#state.until[slot] = now + (times === 0 ? 1_000 : ejectionMs(times, { baseMs, maxMs }) * jitter)
    state.clearCalls(this.#state, slot)
    state.countEjection(this.#state, slot, cause)
    this.#enter(slot, state.EJECTED, now)
  }

  /**
   * The mean over the other members of their failure shares in the last six seconds, each backend counting once. Weighted by
   * calls, one backend that fails fast and draws the traffic would look like a failing pool.
   */
  #failingShare(except: number): number {
    let sum = 0
    let others = 0
    for (const slot of this.#members) {
      if (slot === except || !this.isRoutable(slot)) continue
      const bad = state.callsOf(this.#state, slot, this.#state.bad, 2)
      const calls = bad + state.callsOf(this.#state, slot, this.#state.good, 2)
      if (calls > 0) sum += bad / calls
      others++
    }
    return others === 0 ? 0 : sum / others
  }

  #probed(slot: number, isGood: boolean, now: number): void {
    const { probing, passed } = this.#state
    if ((probing[slot] ?? 0) > 0) Atomics.sub(probing, slot, 1)
    if (!isGood) this.#eject(slot, now, 'trial')
    else if (Atomics.add(passed, slot, 1) + 1 >= PASSES) {
      state.clearCalls(this.#state, slot)
      this.#context.table.handicap[slot] = 1
      this.#context.table.failing[slot] = 0
      // Ejected while all failed: it was no worse than the others, which need no slow start either.
      if ((this.#state.ejections[slot] ?? 0) > 0) this.#context.table.readyAt[slot] = now
      this.#enter(slot, state.CLOSED, now)
    }
  }

  /** Ends ejections that are over, frees lost probes, and forgives in healthy times. */
  #age(slot: number, now: number): void {
    const { phase, until, probing, probedAt, ejections, changedAt } = this.#state
    if (phase[slot] === state.EJECTED) {
      // If the whole pool fails after the ejection, this backend may be as good as any.
      const isOver = now >= (until[slot] ?? 0) || this.isPoolFailing
      if (this.isPoolFailing) ejections[slot] = 0
      if (isOver) this.#enter(slot, state.HALF_OPEN, now)
    } else if (phase[slot] === state.HALF_OPEN) {
      if ((probing[slot] ?? 0) > 0 && now - (probedAt[slot] ?? 0) > PROBE_LOST_MS) probing[slot] = 0
    } else if ((ejections[slot] ?? 0) > 0 && now - (changedAt[slot] ?? 0) >= this.#options.baseEjectionMs) {
      ejections[slot] = (ejections[slot] ?? 0) - 1
      changedAt[slot] = now
    }
  }

  #enter(slot: number, phase: number, now: number): void {
    this.#state.phase[slot] = phase
    this.#state.changedAt[slot] = now
    this.#state.probing[slot] = 0
    this.#state.passed[slot] = 0
    Atomics.add(this.#state.shared, state.VERSION, 1)
  }
}
