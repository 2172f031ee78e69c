/**
 * The scaling rules that are compared: ours, and the well-known ones written from their published descriptions. Each sees the same
 * reports; each keeps what it needs of them.
 */

import { decide, type ScaleMemory } from '../../../src/control/scale/decide.ts'
import type { Decision } from '../../../src/control/scale/decision.ts'
import { type Demand, type ScaleOptions } from '../../../src/control/scale/demand.ts'
import { HISTOGRAM_SIZE, quantileMs } from '../../../src/lib/log-histogram.ts'

export interface Rule {
  readonly family: 'ours' | 'kpa' | 'hpa' | 'hpa-p95' | 'utilisation' | 'schedule'
  readonly setting: string
  readonly tickMs: number
  desired(demand: Demand): number
  readonly last?: () => Decision | undefined
}

export type MakeRule = () => Rule

/** What every rule is told about the pool. */
export interface Bounds {
  readonly slots: number
  readonly min: number
  readonly max: number
}

export function ours(options: ScaleOptions, tickMs = 250, setting = 'default'): Rule {
  let memory: ScaleMemory | undefined
  let last: Decision | undefined
  return {
    family: 'ours',
    setting,
    tickMs,
    last: () => last,
    desired(demand) {
      const decided = decide(memory, demand, options, demand.at)
      memory = decided.memory
      last = decided.decision
      return last.desired
    },
  }
}

/** A queue of numbers with their times, and their mean over the last so many milliseconds. */
class Window {
  #values: { at: number; value: number }[] = []
  readonly #keepMs: number

  constructor(keepMs: number) {
    this.#keepMs = keepMs
  }

  add(at: number, value: number): void {
    this.#values.push({ at, value })
    while ((this.#values[0]?.at ?? Infinity) <= at - this.#keepMs) this.#values.shift()
  }

  mean(now: number, windowMs: number): number {
    let sum = 0
    let count = 0
    for (let i = this.#values.length - 1; i >= 0; i--) {
      const { at = 0, value = 0 } = this.#values[i] ?? {}
      if (at <= now - windowMs) break
      sum += value
      count++
    }
    return count === 0 ? 0 : sum / count
  }

  max(now: number, windowMs: number): number {
    return this.#values.reduce((top, { at, value }) => (at > now - windowMs ? Math.max(top, value) : top), 0)
  }
}

const meanConcurrency = (demand: Demand) =>
  demand.buckets.reduce((sum, { concurrency }) => sum + concurrency, 0) / Math.max(1, demand.buckets.length)

const within = (replicas: number, { min, max }: Bounds) => Math.min(max, Math.max(min, replicas))

/** Knative's pod autoscaler: mean concurrency over a stable and a panic window; panic at twice the ready capacity. */
export function kpa(bounds: Bounds, setting: { target: number; stableMs: number; delayMs: number }): Rule {
  const { target, stableMs, delayMs } = setting
  const window = new Window(stableMs)
  const wanted = new Window(Math.max(1, delayMs))
  const perReplica = bounds.slots * target
  let panicAt: number | undefined
  let panicMost = 0
  return {
    family: 'kpa',
    setting: `target=${target} stable=${stableMs / 1000}s delay=${delayMs / 1000}s`,
    tickMs: 2_000,
    desired(demand) {
      const now = demand.at
      window.add(now, meanConcurrency(demand))
      const ready = Math.max(1, demand.replicas.ready)
      const want = (ms: number) => {
        const raw = Math.ceil(window.mean(now, ms) / perReplica)
        return Math.min(ready * 1000, Math.max(Math.floor(ready / 2), raw))
      }
      const stable = want(stableMs)
      const panic = want(Math.max(6_000, stableMs * 0.1))
      if (panic / ready >= 2) panicAt = now
      else if (panicAt !== undefined && now - panicAt > stableMs) panicAt = undefined
      panicMost = panicAt === undefined ? 0 : Math.max(panicMost, panic, stable)
      const chosen = panicAt === undefined ? stable : panicMost
      wanted.add(now, chosen)
      return within(delayMs > 0 ? wanted.max(now, delayMs) : chosen, bounds)
    },
  }
}

/** Kubernetes' horizontal pod autoscaler on mean concurrency: a ratio every 15 s, tolerance 0.1, maximum over the down window. */
export function hpa(bounds: Bounds, setting: { target: number; downMs: number }): Rule {
  const perReplica = bounds.slots * setting.target
  return ratio(bounds, {
    family: 'hpa',
    setting: `target=${setting.target} down=${setting.downMs / 1000}s`,
    downMs: setting.downMs,
    measure: (demand) => meanConcurrency(demand) / perReplica / Math.max(1, demand.replicas.ready),
  })
}

/** The same on the ratio of the p95 to a share of the SLO. */
export function hpaP95(bounds: Bounds, setting: { sloMs: number; share: number; downMs: number }): Rule {
  let last = 0
  return ratio(bounds, {
    family: 'hpa-p95',
    setting: `p95=${setting.share}·slo down=${setting.downMs / 1000}s`,
    downMs: setting.downMs,
    measure(demand) {
      const counts = Array.from({ length: HISTOGRAM_SIZE }, (_, i) => demand.latency[i] ?? 0)
      last = quantileMs(counts, 0.95) ?? last
      return last / (setting.sloMs * setting.share)
    },
  })
}

function ratio(
  bounds: Bounds,
  part: { family: 'hpa' | 'hpa-p95'; setting: string; downMs: number; measure: (demand: Demand) => number },
): Rule {
  const recommended = new Window(Math.max(1, part.downMs))
  let present: number | undefined
  return {
    family: part.family,
    setting: part.setting,
    tickMs: 15_000,
    desired(demand) {
      const current = present ?? demand.replicas.ready
      const factor = part.measure(demand)
      const raw = Math.abs(factor - 1) <= 0.1 ? current : Math.ceil(demand.replicas.ready * factor)
      const allowed = Math.min(raw, Math.max(current * 2, current + 4))
      recommended.add(demand.at, allowed)
      present = within(
        allowed >= current ? allowed : Math.min(current, recommended.max(demand.at, part.downMs)),
        bounds,
      )
      return present
    },
  }
}

/**
 * Replicas so that offered load over slots meets a fixed utilisation, decided every second. It is given the true mean service time, and
 * it drains a backlog in `drainMs`; both flatter it.
 */
export function utilisation(
  bounds: Bounds,
  setting: { target: number; windowMs: number; downMs: number; meanMs: number },
): Rule {
  const { target, windowMs, downMs, meanMs } = setting
  const window = new Window(windowMs)
  const wanted = new Window(Math.max(1, downMs))
  return {
    family: 'utilisation',
    setting: `target=${target} window=${windowMs / 1000}s down=${downMs / 1000}s`,
    tickMs: 1_000,
    desired(demand) {
      const offered =
        demand.buckets.reduce((sum, bucket) => sum + bucket.offered, 0) / Math.max(1, demand.buckets.length)
      window.add(demand.at, offered * 10)
      const backlog = Math.max(0, demand.queue - demand.inflight) / 5_000
      const erlangs = (window.mean(demand.at, windowMs) * meanMs) / 1000 + backlog * meanMs
      const want = Math.ceil(erlangs / (target * bounds.slots))
      wanted.add(demand.at, want)
      return within(downMs > 0 ? wanted.max(demand.at, downMs) : want, bounds)
    },
  }
}

/** A timetable made in advance: what the oracle plays. */
export function schedule(replicasAt: (at: number) => number, tickMs: number): Rule {
  return { family: 'schedule', setting: 'oracle', tickMs, desired: (demand) => replicasAt(demand.at) }
}
