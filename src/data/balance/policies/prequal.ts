/**
 * Prequal (Wydrowski et al., "Load is not what you should balance", NSDI 2024): the backend with the lowest latency among
 * those that are not hot, that is, do not have far more calls running than the others. When all are hot, the least busy
 * one.
 *
 * Pools of at least twice the size of the probe pool keep one, as in the paper. For smaller ones a probe pool has no
 * meaning (its reuse budget is undefined), and every backend's reading is used.
 */

import type { CostOptions } from '../cost.ts'
import { isAmong } from './maglev.ts'
import { p2c } from './p2c.ts'
import type { AttemptOutcome, Policy, PolicyContext } from './policy.ts'
import { LatestRunning, ProbePool, reuseBudget } from './probe-pool.ts'
import { ProbeScheduler, type ProbeSchedulerOptions, type ProbeSink } from './probe-scheduler.ts'
import { Readings } from './readings.ts'

export interface PrequalOptions extends CostOptions, ProbeSchedulerOptions {
  readonly poolSize?: number
  /** Probes a call. */
  readonly probeRate?: number
  readonly maxAgeMs?: number
  /** The share of backends that count as cold. */
  readonly coldQuantile?: number
}

/** In pools below this the quantile is the maximum, and no backend would ever be hot. */
const QUANTILE_FROM = 8

class Prequal implements Policy, ProbeSink {
  readonly name = 'prequal'
  readonly #context: PolicyContext
  readonly #poolSize: number
  readonly #probeRate: number
  readonly #coldQuantile: number
  readonly #readings: Readings
  readonly #pool: ProbePool
  readonly #scheduler: ProbeScheduler
  readonly #fallback: Policy
  readonly #latest: LatestRunning
  readonly #loads: Int32Array
  readonly #sorted: Int32Array
  #budget: number | undefined

  constructor(context: PolicyContext, options: PrequalOptions) {
    const { poolSize = 16, probeRate = 3, maxAgeMs = 1_000, coldQuantile = 2 ** -0.25 } = options
    this.#context = context
    this.#poolSize = poolSize
    this.#probeRate = probeRate
    this.#coldQuantile = coldQuantile
    this.#readings = new Readings(context, { ...options, maxAgeMs })
    this.#pool = new ProbePool({ size: poolSize, maxAgeMs })
    this.#scheduler = new ProbeScheduler(context.table.slots, options, this)
    this.#fallback = p2c(context)
    this.#latest = new LatestRunning(context.table.slots)
    this.#loads = new Int32Array(context.table.slots)
    this.#sorted = new Int32Array(context.table.slots)
  }

  members(slots: Int32Array, ids: readonly string[]): void {
    this.#fallback.members?.(slots, ids)
    this.#latest.clear()
    this.#budget = reuseBudget(this.#poolSize, slots.length, { probes: this.#probeRate, removals: 1 })
  }

  pick(slots: Int32Array, count: number): number {
    if (count === 1) return slots[0] ?? 0
    const now = this.#context.now()
    this.#readings.prepare(slots, count, now)
    const isLarge = count >= 2 * this.#poolSize && this.#budget !== undefined
    return isLarge ? this.#fromPool(slots, count, now) : this.#fromAll(slots, count, now)
  }

  onStart(slot: number): void {
    this.#readings.onStart(slot)
  }

  onEnd(slot: number, ms: number, ending: AttemptOutcome, now?: number): void {
    this.#readings.onEnd(slot, ms, ending, now)
  }

  onCancel(slot: number, elapsedMs: number, isOutrun: boolean): void {
    this.#readings.onCancel(slot, elapsedMs, isOutrun)
  }

  answered(slot: number, running: number, latencyMs: number): void {
    this.#readings.answered(slot, running, latencyMs)
    if (this.#budget !== undefined) this.#take(slot, this.#context.now())
  }

  forget(slot: number): void {
    this.#readings.forget(slot)
    this.#latest.remove(slot)
    this.#scheduler.forget(slot)
  }

  #fromAll(slots: Int32Array, count: number, now: number): number {
    const hotAbove = this.#threshold(slots, count, now)
    let best = -1
    let bestMs = Infinity
    let ties = 0
    let idlest = 0
    let fewest = Infinity
    for (let at = 0; at < count; at++) {
      const slot = slots[at] ?? 0
      const running = this.#loads[at] ?? 0
      this.#scheduler.refresh(slot, now)
      if (running < fewest) {
        fewest = running
        idlest = slot
      }
      if (running > hotAbove) continue
      const latency = this.#readings.latencyMs(slot, now)
      if (latency < bestMs) {
        best = slot
        bestMs = latency
        ties = 1
      } else if (latency === bestMs && this.#context.random() * ++ties < 1) best = slot
    }
    return best < 0 ? idlest : best
  }

  /** The number of running calls up to which a backend is cold; fills `#loads` on the way. */
  #threshold(slots: Int32Array, count: number, now: number): number {
    const sorted = this.#sorted
    for (let at = 0; at < count; at++) {
      const running = this.#readings.running(slots[at] ?? 0, now)
      this.#loads[at] = running
      // Insertion sort: for pools this small it takes less time than clearing a histogram.
      let place = at
      for (; place > 0 && (sorted[place - 1] ?? 0) > running; place--) sorted[place] = sorted[place - 1] ?? 0
      sorted[place] = running
    }
    if (count < QUANTILE_FROM) return Math.max(2, 1.5 * (sorted[(count - 1) >> 1] ?? 0))
    return sorted[Math.ceil(this.#coldQuantile * count) - 1] ?? 0
  }

  #fromPool(slots: Int32Array, count: number, now: number): number {
    // 2.5 probes a call: two, and a third every other time.
    for (let probes = Math.floor(this.#probeRate + this.#context.random()); probes > 0; probes--) {
      const slot = slots[Math.floor(this.#context.random() * count)] ?? 0
      if (!this.#scheduler.probe(slot, now)) this.#take(slot, now)
    }
    this.#pool.expire(now)
    const hotAbove = this.#latest.quantile(this.#coldQuantile)
    const place = this.#best(slots, count, hotAbove)
    if (place < 0) return this.#fallback.pick(slots, count, undefined)
    const slot = this.#pool.slotAt(place)
    this.#pool.use(place)
    this.#pool.degrade(hotAbove)
    return slot
  }

  /** The place of the best reading by the hot and cold rule; -1 where fewer than two are usable. */
  #best(slots: Int32Array, count: number, hotAbove: number): number {
    const pool = this.#pool
    let cold = -1
    let hot = -1
    let usable = 0
    for (let place = 0; place < pool.held; place++) {
      if (!isAmong(slots, count, pool.slotAt(place))) continue
      usable++
      if (pool.runningAt(place) <= hotAbove) {
        if (cold < 0 || pool.latencyAt(place) < pool.latencyAt(cold)) cold = place
      } else if (hot < 0 || pool.runningAt(place) < pool.runningAt(hot)) hot = place
    }
    if (usable < 2) return -1
    return cold < 0 ? hot : cold
  }

  #take(slot: number, now: number): void {
    // Rounded at random, so that a budget of 1.3 is 1.3 on the average.
    this.#pool.add(slot, now, Math.floor((this.#budget ?? 1) + this.#context.random()))
    const running = this.#readings.running(slot, now)
    this.#pool.value(running, this.#readings.latencyMs(slot, now))
    this.#latest.set(slot, running)
  }
}

export function prequal(context: PolicyContext, options: PrequalOptions = {}): Policy & ProbeSink {
  return new Prequal(context, options)
}
