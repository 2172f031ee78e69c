/**
 * The concurrency limit of each backend: declared by the backend, or learnt from its answers. It is written to the `limit`
 * column of the load table, which selection obeys.
 */
import { LATENCY_BUCKETS, latencyBucket, quantileOf } from '../../../lib/window.ts'
import type { AttemptOutcome } from '../policies/policy.ts'
import { inflightOf, type LoadTable } from '../table.ts'
import { ConcurrencyCurve } from './curve.ts'
import { GradientLimit } from './gradient.ts'

export interface LimitOptions {
  /** `declared`: what backends declare. `gradient`: learnt where they do not. `curve`: the same, for backends that batch. */
  readonly mode: 'declared' | 'gradient' | 'curve'
  /**
   * The highest limit, whatever is declared, and the limit of a backend that declares nothing; without it such a backend is
   * not limited. Further calls then wait in the pool's queue, and not in the HTTP client's.
   */
  readonly most?: number
  readonly initial?: number
  readonly min?: number
  readonly max?: number
  /** The longest a call may take on a backend; required by `curve`, the guard of `gradient`. */
  readonly serviceMs?: number
}

const WINDOW_MS = 1_000
const ENOUGH = 10
/** Answers that come sooner than this are not from a model. */
const TOO_FAST_MS = 0.1

interface Learner {
  readonly histogram: Uint32Array
  readonly gradient: GradientLimit | undefined
  readonly curve: ConcurrencyCurve | undefined
  count: number
  mostInflight: number
  openedAt: number
}

export class Limits {
  readonly #table: LoadTable
  readonly #now: () => number
  readonly #options: LimitOptions
  readonly #declared = new Map<number, { incarnation: number; concurrency: number | undefined }>()
  readonly #learners = new Map<number, Learner>()

  constructor(
    { table, now }: { readonly table: LoadTable; readonly now: () => number },
    options: LimitOptions,
  ) {
    if (options.mode === 'curve' && options.serviceMs === undefined) {
      throw new Error('limits of mode "curve" need serviceMs, the longest a call may take on a backend')
    }
    this.#table = table
    this.#now = now
    this.#options = options
  }

  /**
   * Sets the limit that the backend declared, and learns nothing; undefined: it declared none. Declared again for the same
   * backend, it changes nothing, and what was learnt stays.
   */
  declare(slot: number, concurrency: number | undefined): void {
    const incarnation = this.#table.incarnation[slot] ?? 0
    const known = this.#declared.get(slot)
    if (known?.incarnation === incarnation && known.concurrency === concurrency) return
    this.#declared.set(slot, { incarnation, concurrency })
    this.#learners.delete(slot)
    const { mode, most = 0 } = this.#options
    if (concurrency !== undefined)
      this.#table.limit[slot] = most > 0 ? Math.min(concurrency, most) : concurrency
    else if (mode === 'declared') this.#table.limit[slot] = most
    else {
      this.#learners.set(slot, this.#newLearner())
      this.#table.limit[slot] = this.#options.initial ?? 4
    }
  }

  /** A call ended; called before it is counted out of the table. Failures and calls on slow start are ignored. */
  observe(slot: number, ms: number, ending: AttemptOutcome, now = this.#now()): void {
    const learner = this.#learners.get(slot)
    const isRamping = (this.#table.ramp[slot] ?? 1) < 1
    if (learner === undefined || ending !== 'ok' || ms < TOO_FAST_MS || isRamping) return
    const inflight = inflightOf(this.#table, slot)
    learner.curve?.observe(now, inflight, ms)
    const bucket = latencyBucket(ms)
    learner.histogram[bucket] = (learner.histogram[bucket] ?? 0) + 1
    learner.count++
    learner.mostInflight = Math.max(learner.mostInflight, inflight)
    if (learner.openedAt === 0) learner.openedAt = now
    if (now - learner.openedAt >= WINDOW_MS && learner.count >= ENOUGH) this.#close(slot, learner, now)
  }

  #close(slot: number, learner: Learner, now: number): void {
    const p90 = quantileOf(learner.histogram, 0, Math.ceil(0.9 * learner.count))
    // Another worker may have changed the limit since.
    learner.gradient?.adopt(this.#table.limit[slot] ?? 0)
    const limit = learner.gradient?.sample(p90, learner.mostInflight) ?? learner.curve?.limit ?? 0
    this.#table.limit[slot] = Math.max(1, Math.floor(limit))
    learner.histogram.fill(0)
    learner.count = 0
    learner.mostInflight = 0
    learner.openedAt = now
  }

  #newLearner(): Learner {
    const { mode, most: _, serviceMs, ...bounds } = this.#options
    const learns = { count: 0, mostInflight: 0, openedAt: 0, histogram: new Uint32Array(LATENCY_BUCKETS) }
    if (mode === 'curve') {
      return {
        ...learns,
        gradient: undefined,
        curve: new ConcurrencyCurve({ ...bounds, serviceMs: serviceMs ?? Infinity }),
      }
    }
    return {
      ...learns,
      curve: undefined,
      gradient: new GradientLimit({ ...bounds, ...(serviceMs && { serviceMs }) }),
    }
  }
}
