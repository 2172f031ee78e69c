/**
 * Decides which calls are told in the access log, and writes their lines. Slow and failed calls always are, and of the others a
 * sample: whether a call is in it is decided at its end, once. A hit that is not in the sample costs a decrement.
 */
import type { CallLine, TracedCall } from '../../core/call-line.ts'
import { CallRecord, type CallTrace } from '../../core/call-record.ts'
import type { Answered } from '../../core/observer.ts'
import { type Outcome, outcomeLabel } from '../../core/reply.ts'
import { parseTraceparent, saysSampled } from '../../core/trace-context.ts'
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
}

/** What somebody wants to know of a call. */
export interface Interest {
  /** It is told in the access log. */
  readonly isTold: boolean
  /** It was slow or has failed. */
  readonly isOdd: boolean
  readonly trace: CallTrace | undefined
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
    const isSampled = (text === undefined ? undefined : saysSampled(text)) ?? traces.takes()
    if (!isSampled) return undefined
    const parent = parseTraceparent(text)
    const mintId = () => this.#ids.span()
    return {
      traceId: parent?.traceId ?? this.#ids.trace(),
      spanId: mintId(),
      parentId: parent?.spanId,
      mintId,
    }
  }

  /**
   * A call without a record is over. Undefined: nobody wants to know of it, so that nothing need be made of what it was. `from` is
   * asked for the caller's field only where calls are traced.
   */
  interest(answered: Answered, from: { readonly traceparent: string | undefined }): Interest | undefined {
    return this.#interest(answered, this.#parts.rules.traces && this.#traceOf(from.traceparent))
  }

  #interest(answered: Answered, trace: CallTrace | undefined): Interest | undefined {
    const { access } = this.#parts.rules
    const isOdd = access !== undefined && isOddTo(access, answered)
    // Each call counts for the sample.
    const isTold = access?.sampler.takes() === true || isOdd
    return isTold || trace ? { isTold, isOdd, trace } : undefined
  }

  /** A call is over. `called` is asked for what the line needs, if there is one; so is `record`. */
  ended(answered: Answered, called: () => Called, record: CallRecord): void {
    const interest = this.#interest(answered, record.trace)
    if (interest) this.tell(interest, answered, called(), record)
  }

  /** Tells of a call, by what somebody wants to know of it. */
  tell({ isTold, isOdd, trace }: Interest, answered: Answered, called: Called, record?: CallRecord): void {
    const facts = { record, traceId: trace?.traceId, time: this.#parts.clock.wall() }
    const line = lineOf(answered, called, facts)
    if (isTold) this.#parts.outbox.add(JSON.stringify(line), isOdd)
    if (trace) this.#parts.outbox.trace(JSON.stringify(tracedOf(line, trace, record)))
  }
}

function isOddTo({ slowMs, errors }: AccessRules, answered: Answered): boolean {
  return answered.ms >= slowMs || (errors && hasFailed(answered))
}

function tracedOf(
  line: CallLine,
  { traceId, spanId, parentId }: CallTrace,
  record: CallRecord | undefined,
): TracedCall {
  return { ...line, traceId, spanId, parentId, steps: record?.steps ?? NOTHING }
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
  // What is undefined is left out of its JSON; to put the members together one by one would take longer than all else.
  return {
    time: new Date(time).toISOString(),
    event: 'call',
    requestId,
    traceId,
    peer,
    tenant,
    route: route || undefined,
    protocol: protocol || undefined,
    model,
    method,
    path: path.length > MAX_PATH ? path.slice(0, MAX_PATH) : path,
    status,
    fault,
    outcome: outcomeLabel(outcome),
    tier: 'tier' in outcome ? outcome.tier : undefined,
    rows: rowsOf(outcome),
    bytes: { in: bytesIn, out: bytesOut },
    ms: rounded(ms),
    stages: record ? rounding(record.stages()) : NO_STAGES,
    attempts: record && record.attempts.length > 0 ? record.attempts.map(rounding) : NOTHING,
  }
}

const NO_STAGES: CallLine['stages'] = {}
const NOTHING: readonly never[] = []

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
