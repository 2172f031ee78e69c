/**
 * The readings of `prequal`: for each backend the calls running there, and the latency at about that many calls. Where a
 * backend answers probes, its own numbers count; otherwise the gateway's own calls serve as probes.
 */
import { type CostOptions, Costs } from '../cost.ts'
import { loadOf, outstandingOf } from '../table.ts'
import type { AttemptOutcome, PolicyContext } from './policy.ts'

/** Classes of calls running: 0, 1, 2–3, 4–7, … */
const CLASSES = 8
/** The factor by which one sample moves an estimate of the median. */
const STEP = 1.1
/** Without new samples a reading fades toward the common latency, or a slow period would never be forgiven. */
const FADE_MS = 10_000
/** How long the pool's common latency is used. */
const PREPARED_MS = 100

export class Readings {
  readonly #context: PolicyContext
  readonly #estimates: Costs
  readonly #maxAgeMs: number
  /** Median latency by slot and class of calls running; 0: none yet. */
  readonly #median: Float64Array
  readonly #medianAt: Float64Array
  /** What the backend reported last, and how many calls were sent to it since. */
  readonly #reported: Int32Array
  readonly #reportedMs: Float64Array
  readonly #reportedAt: Float64Array
  readonly #sentSince: Int32Array
  #commonMs = 0
  #commonAt = -Infinity

  constructor(context: PolicyContext, options: CostOptions & { maxAgeMs: number }) {
    const { slots } = context.table
    this.#context = context
    this.#estimates = new Costs(context, options)
    this.#maxAgeMs = options.maxAgeMs
    this.#median = new Float64Array(slots * CLASSES)
    this.#medianAt = new Float64Array(slots)
    this.#reported = new Int32Array(slots)
    this.#reportedMs = new Float64Array(slots)
    this.#reportedAt = new Float64Array(slots).fill(-Infinity)
    this.#sentSince = new Int32Array(slots)
  }

  prepare(slots: Int32Array, count: number, now: number): void {
    if (now - this.#commonAt < PREPARED_MS && now >= this.#commonAt) return
    this.#commonAt = now
    this.#estimates.prepare(slots, count, now)
    let least = Infinity
    for (let at = 0; at < count; at++) {
      const slot = slots[at] ?? 0
      const latency = this.#ownMs(slot)
      if (latency > 0 && latency < least) least = latency
    }
    if (least < Infinity) this.#commonMs = least
  }

  /** Calls running: never fewer than we run there, whatever the backend reported. */
  running(slot: number, now: number): number {
    const own = outstandingOf(this.#context.table, slot)
    if (this.ageMs(slot, now) > this.#maxAgeMs) return own
    return Math.max(own, (this.#reported[slot] ?? 0) + (this.#sentSince[slot] ?? 0))
  }

  /** The latency to expect now, with the charge for failures; an unknown backend counts as the best. */
  latencyMs(slot: number, now: number): number {
    const failure = this.#estimates.failureMs(slot, now)
    const share = this.#context.table.share[slot] ?? 1
    const reported = this.#reportedMs[slot] ?? 0
    if (reported > 0 && this.ageMs(slot, now) <= this.#maxAgeMs) return (reported + failure) / share
    const own = this.#ownMs(slot)
    if (own === 0) return (this.#commonMs + failure) / share
    const age = this.#commonMs > 0 ? Math.max(0, now - (this.#medianAt[slot] ?? now)) : 0
    // Hyperbolic and not exponential: this runs for every backend of a small pool in each pick.
    return (this.#commonMs + (own - this.#commonMs) / (1 + age / FADE_MS) + failure) / share
  }

  /** Milliseconds since the backend last answered a probe; Infinity: never. */
  ageMs(slot: number, now: number): number {
    return now - (this.#reportedAt[slot] ?? -Infinity)
  }

  answered(slot: number, running: number, latencyMs: number): void {
    this.#reported[slot] = running
    this.#reportedMs[slot] = latencyMs
    this.#reportedAt[slot] = this.#context.now()
    this.#sentSince[slot] = 0
  }

  onStart(slot: number): void {
    this.#sentSince[slot] = (this.#sentSince[slot] ?? 0) + 1
  }

  onEnd(slot: number, ms: number, ending: AttemptOutcome, now?: number): void {
    this.#estimates.onEnd(slot, ms, ending, now)
    if (ending !== 'ok') return
    const at = slot * CLASSES + classOf(loadOf(this.#context.table, slot))
    const estimate = this.#median[at] ?? 0
    if (estimate === 0) this.#median[at] = Math.max(ms, 1e-3)
    // A step up or down for each sample converges to where half of the samples lie above: the median, in one number.
    else if (ms > estimate) this.#median[at] = Math.min(ms, estimate * STEP)
    else if (ms < estimate) this.#median[at] = Math.max(ms, estimate / STEP)
    this.#medianAt[slot] = this.#context.now()
  }

  onCancel(slot: number, elapsedMs: number, isOutrun: boolean): void {
    this.#estimates.onCancel(slot, elapsedMs, isOutrun)
    const at = slot * CLASSES + classOf(loadOf(this.#context.table, slot))
    if (elapsedMs > (this.#median[at] ?? 0) * STEP && this.#median[at]) {
      this.#median[at] = (this.#median[at] ?? 0) * STEP
    }
  }

  forget(slot: number): void {
    this.#median.fill(0, slot * CLASSES, (slot + 1) * CLASSES)
    this.#reportedAt[slot] = -Infinity
    this.#reportedMs[slot] = 0
    this.#sentSince[slot] = 0
  }

  /** Our own median near the present number of calls: of the same class, or the nearest that has one. */
  #ownMs(slot: number): number {
    const start = slot * CLASSES
    const wanted = classOf(loadOf(this.#context.table, slot))
    for (let away = 0; away < CLASSES; away++) {
      const below = wanted - away >= 0 ? (this.#median[start + wanted - away] ?? 0) : 0
      if (below > 0) return below
      const above = wanted + away < CLASSES ? (this.#median[start + wanted + away] ?? 0) : 0
      if (above > 0) return above
    }
    return 0
  }
}

function classOf(running: number): number {
  return running <= 0 ? 0 : Math.min(CLASSES - 1, 32 - Math.clz32(running))
}
