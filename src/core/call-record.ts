/**
 * The record of one call, filled along its way: how long it was in each stage, and which attempts were made. It is made only
 * where somebody wants it: the access log, or the caller, in `Server-Timing`. Times are milliseconds.
 */

/**
 * Where a call spends its time: `receive` its body; `cache` looking into shared tiers; `wait` for the load of another call;
 * `queue` for a place at a backend; `connect` until the request is sent; `firstByte` until the head of the answer; `transfer`
 * until its end.
 */
export const STAGES = ['receive', 'cache', 'wait', 'queue', 'connect', 'firstByte', 'transfer'] as const
export type CallStage = (typeof STAGES)[number]

export interface Step {
  readonly stage: CallStage
  /** Since the call began. */
  readonly at: number
  readonly ms: number
  /** The tier that was asked, for example. */
  readonly detail?: string | undefined
}

/** The spans of a call that is traced. */
export interface CallTrace {
  readonly traceId: string
  /** Of the call. */
  readonly spanId: string
  /** The caller's. */
  readonly parentId: string | undefined
  /** Makes the id of one attempt's. */
  readonly mintId: () => string
}

/** One attempt at a backend. While it runs its ending is `running`, and stages that have not begun are left out. */
export interface AttemptRecord {
  readonly backend: string
  /** `ok`, `error`, `timeout`, `overloaded`, `cancelled` or `running`. */
  ending: string
  /** Since the call began. */
  readonly at: number
  ms: number
  connect?: number
  firstByte?: number
  transfer?: number
  /** Where the call is traced. */
  readonly spanId?: string
}

/** Retries, hedges and rows in several requests make more than one; no call makes more than this worth reading. */
const MAX_ATTEMPTS = 32
const MAX_STEPS = 32

export class CallRecord {
  /** Monotonic. */
  readonly began: number
  readonly steps: Step[] = []
  readonly attempts: AttemptRecord[] = []
  /** Undefined: it is not traced. */
  readonly trace: CallTrace | undefined

  constructor(began: number, trace?: CallTrace) {
    this.began = began
    this.trace = trace
  }

  /** A stage has lasted from `from` to `to`, both monotonic. */
  step(stage: CallStage, from: number, to: number, detail?: string): void {
    if (this.steps.length < MAX_STEPS && to > from)
      this.steps.push({ stage, at: from - this.began, ms: to - from, detail })
  }

  /** An attempt begins at `now`, for which the call has waited since `since`; the caller fills in what becomes of it. */
  attempt(backend: string, since: number, now: number): AttemptRecord {
    this.step('queue', since, now)
    const spanId = this.trace?.mintId()
    const attempt: AttemptRecord = {
      ...{ backend, ending: 'running', at: now - this.began, ms: 0 },
      ...(spanId === undefined ? {} : { spanId }),
    }
    if (this.attempts.length < MAX_ATTEMPTS) this.attempts.push(attempt)
    return attempt
  }

  /** How long the call was in each stage, over all steps and attempts. */
  stages(): Partial<Record<CallStage, number>> {
    const sums: Partial<Record<CallStage, number>> = {}
    const add = (stage: CallStage, ms: number | undefined) => {
      if (ms !== undefined) sums[stage] = (sums[stage] ?? 0) + ms
    }
    for (const { stage, ms } of this.steps) add(stage, ms)
    for (const { connect, firstByte, transfer } of this.attempts) {
      add('connect', connect)
      add('firstByte', firstByte)
      add('transfer', transfer)
    }
    return sums
  }
}
