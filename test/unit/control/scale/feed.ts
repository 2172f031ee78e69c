// Reports as a perfectly even load would produce them, for tests that need a number to be exact.

import { type Decided, decide, type ScaleMemory } from '../../../../src/control/scale/decide.ts'
import type { Decision } from '../../../../src/control/scale/decision.ts'
import {
  BUCKET_MS,
  type Demand,
  SCALE_DEFAULTS,
  type ScaleOptions,
} from '../../../../src/control/scale/demand.ts'
import { bucketOf, HISTOGRAM_SIZE } from '../../../../src/lib/log-histogram.ts'

export const OPTIONS: ScaleOptions = {
  ...SCALE_DEFAULTS,
  min: 1,
  max: 20,
  slots: 4,
  sloMs: 200,
  startMs: 5_000,
}

export interface Even {
  readonly perSecond: number
  readonly serviceMs?: number
  readonly ready: number
  readonly rest?: Partial<Demand>
}

/** A report of `spanMs` of even load ending at `at`. */
export function even(at: number, spanMs: number, { perSecond, serviceMs = 50, ready, rest }: Even): Demand {
  const buckets = Math.round(spanMs / BUCKET_MS)
  const calls = (perSecond * spanMs) / 1000
  const histogram = new Array<number>(HISTOGRAM_SIZE).fill(0)
  histogram[bucketOf(serviceMs)] = calls
  const bucket = {
    offered: perSecond / 10,
    answered: 0,
    concurrency: (perSecond * serviceMs) / 1000,
    rise: 0,
  }
  return {
    at,
    buckets: Array.from({ length: buckets }, () => bucket),
    queue: 0,
    inflight: Math.round(bucket.concurrency),
    oldestWaitMs: 0,
    service:
      calls > 0
        ? [
            {
              inflight: 1,
              count: calls,
              sumMs: calls * serviceMs,
              sumSquaresMs: calls * serviceMs ** 2,
              histogram,
            },
          ]
        : [],
    latency: histogram,
    replicas: { ready, startingMs: [], slow: 0, draining: 0 },
    startsMs: [],
    ...rest,
  }
}

/** Feeds reports one after the other; replicas appear as soon as they are asked for unless `even` says otherwise. */
export class Feed {
  memory: ScaleMemory | undefined
  now = 0
  readonly decisions: Decision[] = []
  readonly options: ScaleOptions

  constructor(options: Partial<ScaleOptions> = {}) {
    this.options = { ...OPTIONS, ...options }
  }

  get desired(): number {
    return this.decisions.at(-1)?.desired ?? Number.NaN
  }

  get last(): Decision {
    const last = this.decisions.at(-1)
    if (!last) throw new Error('nothing was decided yet')
    return last
  }

  give(demand: Demand | undefined): Decided {
    const decided = decide(this.memory, demand, this.options, this.now)
    this.memory = decided.memory
    this.decisions.push(decided.decision)
    return decided
  }

  /** `forMs` of even load in reports of `tickMs`. */
  run(forMs: number, load: Omit<Even, 'ready'> & { ready?: number }, tickMs = 500): void {
    const end = this.now + forMs
    while (this.now < end) {
      this.now += tickMs
      const ready = load.ready ?? (Number.isNaN(this.desired) ? 2 : this.desired)
      this.give(even(this.now, tickMs, { ...load, ready }))
    }
  }
}
