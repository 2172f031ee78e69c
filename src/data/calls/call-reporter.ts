/**
 * Decides which calls are told in the access log, and writes their lines. Slow and failed calls always are, and of the others a
 * sample: whether a call is in it is decided at its end, once. A hit that is not in the sample costs a decrement.
 */
import type { CallLine } from '../../core/call-line.ts'
import { CallRecord } from '../../core/call-record.ts'
import type { Answered } from '../../core/observer.ts'
import { type Outcome, outcomeLabel } from '../../core/reply.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Sampler } from '../../lib/sampler.ts'
import type { CallOutbox } from './call-outbox.ts'

export interface CallRules {
  readonly sampler: Pick<Sampler, 'takes'>
  /** Milliseconds from which on a call is slow. */
  readonly slowMs: number
  /** Whether every failed call is told. */
  readonly errors: boolean
}

/** What a call was, beside what became of it. */
export interface Called {
  readonly peer: string
  readonly method: string
  /** Without the query. */
  readonly path: string
  readonly bytesIn: number
  readonly bytesOut: number
}

export interface CallReporterParts {
  readonly rules: CallRules
  readonly outbox: Pick<CallOutbox, 'add'>
  readonly clock: Pick<Clock, 'wall'>
}

/** Paths come from clients; what is longer is cut. */
const MAX_PATH = 1024

export class CallReporter {
  readonly #parts: CallReporterParts

  constructor(parts: CallReporterParts) {
    this.#parts = parts
  }

  /** The record of a call that begins; `began`: monotonic milliseconds. */
  begin(began: number): CallRecord {
    return new CallRecord(began)
  }

  /** A call is over. `called` is asked for what the line needs, if there is one; so is `record`, which may be left out. */
  ended(answered: Answered, called: () => Called, record?: CallRecord): void {
    const { sampler, slowMs, errors } = this.#parts.rules
    const isSampled = sampler.takes()
    const isOdd = answered.ms >= slowMs || (errors && hasFailed(answered))
    if (!isSampled && !isOdd) return
    const line = lineOf(answered, called(), { record, time: this.#parts.clock.wall() })
    this.#parts.outbox.add(JSON.stringify(line), isOdd)
  }
}

/** The caller has left, or was told that something behind the gateway, or the gateway itself, has failed. */
function hasFailed({ status }: Answered): boolean {
  return status >= 499
}

function lineOf(
  { requestId, tenant, route, protocol, model, status, fault, outcome, ms }: Answered,
  { peer, method, path, bytesIn, bytesOut }: Called,
  { record, time }: { readonly record: CallRecord | undefined; readonly time: number },
): CallLine {
  return {
    time: new Date(time).toISOString(),
    event: 'call',
    requestId,
    peer,
    ...(tenant === undefined ? {} : { tenant }),
    ...(route === '' ? {} : { route }),
    ...(protocol === '' ? {} : { protocol }),
    ...(model === undefined ? {} : { model }),
    method,
    path: path.slice(0, MAX_PATH),
    status,
    ...(fault === undefined ? {} : { fault }),
    outcome: outcomeLabel(outcome),
    ...('tier' in outcome ? { tier: outcome.tier } : {}),
    rows: rowsOf(outcome),
    bytes: { in: bytesIn, out: bytesOut },
    ms: rounded(ms),
    stages: rounding(record?.stages() ?? {}),
    attempts: record?.attempts.map(rounding) ?? [],
  }
}

function rowsOf(outcome: Outcome): number {
  if (outcome.kind === 'partial') {
    const { hit, join, miss, dup } = outcome.rows
    return hit + join + miss + dup
  }
  return ('rows' in outcome ? outcome.rows : undefined) ?? 1
}

/** To microseconds. */
const rounded = (ms: number): number => Math.round(ms * 1000) / 1000

function rounding<T extends object>(values: T): T {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, typeof value === 'number' ? rounded(value) : value]),
  ) as T
}
