/**
 * Decides which calls are told in the access log, and writes their lines. Slow and failed calls always are, and of the others a
 * sample: whether a call is in it is decided at its end, once. A hit that is not in the sample costs a decrement.
 */
import type { CallLine, TracedCall } from '../../core/call-line.ts'
import { CallRecord, type CallTrace } from '../../core/call-record.ts'
import type { Answered } from '../../core/observer.ts'
import { type Outcome, outcomeLabel } from '../../core/reply.ts'
import { parseTraceparent } from '../../core/trace-context.ts'
import { TraceIds } from '../../core/trace-ids.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Sampler } from '../../lib/sampler.ts'
import type { CallOutbox } from './call-outbox.ts'

export interface CallRules {
  /** Undefined: there is no access log. */
  readonly access?: AccessRules | undefined
  /** Which calls are traced that no caller decides about; undefined: none. */
  readonly traces?: Pick<Sampler, 'takes'> | undefined
}

export interface AccessRules {
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
  /** The caller's field, if the call has no record. */
  readonly traceparent?: string | undefined
}

export interface CallReporterParts {
  readonly rules: CallRules
  readonly outbox: Pick<CallOutbox, 'add' | 'trace'>
  readonly clock: Pick<Clock, 'wall'>
}

/** Paths come from clients; what is longer is cut. */
const MAX_PATH = 1024

export class CallReporter {
  readonly #parts: CallReporterParts
  readonly #ids = new TraceIds()

  constructor(parts: CallReporterParts) {
    this.#parts = parts
  }

  /** The record of a call that begins; `began`: monotonic milliseconds. `parent`: what the caller says in `traceparent`. */
  begin(began: number, parent: string | undefined): CallRecord {
    return new CallRecord(began, this.#traceOf(parent))
  }

  /** Decided by the caller where it takes part in a trace, otherwise by the sample. */
  #traceOf(text: string | undefined): CallTrace | undefined {
    const { traces } = this.#parts.rules
    if (!traces) return undefined
    const parent = parseTraceparent(text)
    if (parent ? !parent.isSampled : !traces.takes()) return undefined
    const mintId = () => this.#ids.span()
    return {
      traceId: parent?.traceId ?? this.#ids.trace(),
      spanId: mintId(),
      parentId: parent?.spanId,
      mintId,
    }
  }

  /** A call is over. `called` is asked for what the line needs, if there is one; so is `record`, which may be left out. */
  ended(answered: Answered, called: () => Called, record?: CallRecord): void {
    const { access, traces } = this.#parts.rules
    const trace = record || !traces ? record?.trace : this.#traceOf(called().traceparent)
    const isOdd = access !== undefined && isOddTo(access, answered)
    // Each call counts for the sample.
    const isTold = access?.sampler.takes() === true || isOdd
    if (!isTold && !trace) return
    const line = lineOf(answered, called(), {
      record,
      traceId: trace?.traceId,
      time: this.#parts.clock.wall(),
    })
    if (isTold) this.#parts.outbox.add(JSON.stringify(line), isOdd)
    if (trace) this.#parts.outbox.trace(JSON.stringify(tracedOf(line, trace, record)))
  }
}

function isOddTo({ slowMs, errors }: AccessRules, answered: Answered): boolean {
  return answered.ms >= slowMs || (errors && hasFailed(answered))
}

function tracedOf(line: CallLine, trace: CallTrace, record: CallRecord | undefined): TracedCall {
  const { traceId, spanId, parentId } = trace
  return {
    ...line,
    traceId,
    spanId,
    ...(parentId === undefined ? {} : { parentId }),
    steps: record?.steps ?? [],
  }
}

/** The caller has left, or was told that something behind the gateway, or the gateway itself, has failed. */
function hasFailed({ status }: Answered): boolean {
  return status >= 499
}

interface LineFacts {
  readonly record: CallRecord | undefined
  readonly traceId: string | undefined
  /** Wall milliseconds. */
  readonly time: number
}

function lineOf(
  { requestId, tenant, route, protocol, model, status, fault, outcome, ms }: Answered,
  { peer, method, path, bytesIn, bytesOut }: Called,
  { record, traceId, time }: LineFacts,
): CallLine {
  return {
    time: new Date(time).toISOString(),
    event: 'call',
    requestId,
    ...(traceId === undefined ? {} : { traceId }),
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
