/** One attempt of a call at one backend: from its permit to the end of the exchange, counted in between. */

import { addressOf, mainAddress, type Transport } from '../../core/backend.ts'
import { type Call, type RawPairs, upstreamMethod } from '../../core/call.ts'
import type { AttemptRecord, CallTrace } from '../../core/call-record.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Observer } from '../../core/observer.ts'
import type { Reply } from '../../core/reply.ts'
import { TRACEPARENT, TRACESTATE, traceparent } from '../../core/trace-context.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { Clock } from '../../lib/clock.ts'
import { Deferred, type Listener, subscribe } from '../../lib/deferred.ts'
import type { Protocol } from '../../protocol/protocol.ts'
import { type Verdict, verdictOf } from '../../protocol/verdict.ts'
import type { AnswerLoads } from '../backend/answer-loads.ts'
import type { BackendRequest, BackendResponse } from '../backend/exchange.ts'
import { type Incoming, letGo } from '../backend/incoming.ts'
import type { Permit } from '../backend/permit.ts'
import type { BackendPool } from '../backend/pool.ts'
import type { AttemptOutcome } from '../balance/policies/policy.ts'
import { isEventStream, isStreamed } from '../cache/streamed.ts'
import type { SharedDeadline } from '../flight/shared-deadline.ts'
import { remainingDeadline } from '../http/deadlines.ts'
import { takeReport, withLoadWish } from '../http/orca.ts'
import { EventCounter, type StreamMeter } from '../measure/stream-meter.ts'
import type { Route } from '../route/routes.ts'
import type { AttemptResult, UpstreamRequest } from './upstream-call.ts'

export interface AttemptParts {
  readonly observer: Observer
  readonly clock: Clock
  /** Milliseconds, since some fixed time, during which this thread was stalled and could not read. */
  readonly stalled: (now?: number) => number
}

export interface AttemptContext {
  readonly pool: BackendPool
  readonly transport: Transport
  readonly permit: Permit
  /** When the call first asked for a permit. */
  readonly startedAt: number
  /** Until when the backend has the call. */
  readonly until: SharedDeadline
  /** Which Host and fields the backend gets. */
  readonly route: Pick<Route, 'keepsHost' | 'rewrite' | 'requestFields' | 'idleTimeout'>
  /** The dialect in which the answer is judged. */
  readonly protocol: Pick<Protocol, 'verdict' | 'isStream'>
}

/** The reason with which a hedge that lost is cancelled: no fault of its backend. */
export const LOSER = new GatewayError('callerLeft', 'another backend was faster')

/** Settles with its result; never fails. */
export class Attempt extends Deferred<AttemptResult> implements BackendRequest, Listener<BackendResponse> {
  readonly url: string
  readonly transport: Transport
  readonly method: string
  readonly target: string
  readonly headers: BackendRequest['headers']
  readonly requestId: string
  readonly host: string | undefined
  readonly body: BackendRequest['body']
  readonly isUpgrade: boolean
  readonly contentLength: number | undefined
  readonly signal: Signal
  readonly headTimeoutMs: number
  readonly idleTimeoutMs: number | undefined
  readonly now: number
  readonly #parts: AttemptParts
  readonly #pool: BackendPool
  readonly #permit: Permit
  readonly #collectBytes: number
  readonly #stalledBefore: number
  readonly #until: SharedDeadline
  readonly #protocol: AttemptContext['protocol']
  readonly #loads: AnswerLoads | undefined
  /** How long the call had waited for its permit. */
  readonly #waitedMs: number
  readonly #record: AttemptRecord | undefined
  /** When the request was sent, and when the head of its answer came; monotonic milliseconds, 0 before. */
  #sentAt = 0
  #headAt = 0
  #meter: StreamMeter | undefined

  constructor(parts: AttemptParts, call: Call, request: UpstreamRequest, at: AttemptContext) {
    super()
    const { pool, permit, startedAt, route } = at
    this.#parts = parts
    this.#protocol = at.protocol
    this.#pool = pool
    this.#permit = permit
    this.#collectBytes = request.collectBytes
    const began = permit.since
    this.now = began
    this.#waitedMs = began - startedAt
    this.#stalledBefore = parts.stalled(began)
    this.#until = at.until
    const left = this.#until.deadline - began
    this.#record = call.record?.attempt(permit.backend.id, startedAt, began)
    this.transport = at.transport
    this.url = addressOf(permit.backend, at.transport) ?? mainAddress(permit.backend)
    this.method = request.as?.method ?? upstreamMethod(call)
    this.target = request.as?.target ?? call.path + call.query
    const fields = route.requestFields?.applied(request.headers) ?? request.headers
    const headers = remainingDeadline(fields, { leftMs: left, spentMs: began - startedAt })
    this.#loads = pool.answerLoads
    const wished = this.#loads ? withLoadWish(headers) : headers
    this.headers =
      call.record?.trace && this.#record ? traced(wished, call.record.trace, this.#record) : wished
    this.requestId = call.id
    this.host = route.rewrite?.host ?? (route.keepsHost === true && call.host !== '' ? call.host : undefined)
    this.body = request.body
    this.isUpgrade = call.isUpgrade === true
    this.contentLength = request.contentLength
    this.signal = request.signal
    this.headTimeoutMs = left
    this.idleTimeoutMs = route.idleTimeout
  }

  sent(): void {
    if (this.#record) this.#sentAt = this.#parts.clock.now()
  }

  leftMs(): number {
    return this.#until.deadline - this.#parts.clock.now()
  }

  start(): this {
    subscribe(this.#pool.clients.send(this), this)
    return this
  }

  /** The head of an answer has arrived. */
  onValue({ reply: came, over, at }: BackendResponse): void {
    if (this.#record) this.#headAt = at ?? this.#parts.clock.now()
    const { backend } = this.#permit
    const reply = this.#loads ? this.#withoutReport(came) : came
    const { body } = reply
    if (!over || body instanceof Uint8Array) {
      const ms = this.#end(this.#endingOf(reply), at)
      return this.settle({ reply, backend, ms, at: this.now + ms })
    }
    const isStream = isStreamed(reply, this.#protocol)
    if (reply.status === 101) this.#permit.firstMs = this.#spentMs()
    else if (isStream) {
      body.whenBegun(() => (this.#permit.firstMs = this.#spentMs()))
      if (this.#pool.tuning.countsTokens && isEventStream(reply)) this.#meter = this.#measure(body)
    }
    const ms = this.#parts.clock.now() - this.now
    const ended = Promise.withResolvers<void>()
    over.then(
      (error) => {
        if (error) this.#ended(asFault(error))
        else this.#end(this.#endingOf(reply))
        ended.resolve()
      },
      () => ended.resolve(),
    )
    const response = { reply, backend, ms, over: ended.promise }
    if (this.#collectBytes === 0 || isStream) this.settle(response)
    else this.#collect(response, body)
  }

  /** Measures the generation while its events arrive. */
  #measure(body: Incoming): StreamMeter {
    const { backend, inflightAtStart, since: sentAt } = this.#permit
    const call = { slot: backend.slot, inflightAtStart, sentAt, waitedMs: this.#waitedMs }
    const meter = this.#pool.demand.meterStream(call)
    const events = new EventCounter()
    body.watch((piece) => meter.came(events.count(piece)))
    return meter
  }

  /** The answer without what it says of the backend's load, in its head or behind its body; that goes to the pool. */
  #withoutReport(reply: BackendResponse['reply']): BackendResponse['reply'] {
    const { status, body, trailers } = reply
    const headers = this.#takeReport(reply.headers)
    if (headers === reply.headers && trailers === undefined) return reply
    return { status, headers, body, ...(trailers && { trailers: () => this.#takeReport(trailers()) }) }
  }

  #takeReport(from: RawPairs): RawPairs {
    const { fields, load } = takeReport(from)
    if (load !== undefined) this.#loads?.take(this.#permit, load)
    return fields
  }

  #collect(result: Extract<AttemptResult, { reply: unknown }>, body: Incoming): void {
    body.collect(this.#collectBytes).then(
      ({ complete, bytes }) =>
        this.settle(complete ? { ...result, reply: { ...result.reply, body: bytes } } : result),
      (error: unknown) => this.settle({ failure: asFault(error) }),
    )
  }

  onError(error: unknown): void {
    const failure = asFault(error)
    this.#ended(failure)
    this.settle({ failure })
  }

  #endingOf(reply: Reply): AttemptOutcome {
    return ENDINGS[verdictOf(this.#protocol, reply).kind]
  }

  #ended(failure: GatewayError): void {
    this.#end(endingOf(failure))
    if (failure.fault.blame === 'backend') {
      const { observer } = this.#parts
      observer.failed(this.#pool.name, this.#permit.backend.id, failure, this.requestId)
    }
  }

  /** How long the backend has had the call, without the time in which this thread was stalled. */
  #spentMs(at = this.#parts.clock.now()): number {
    return Math.max(0, at - this.now - (this.#parts.stalled(at) - this.#stalledBefore))
  }

  /** Counts the call out; returns how long it was at the backend. */
  #end(ending: AttemptOutcome | 'cancelled' | 'lost', at = this.#parts.clock.now()): number {
    const { observer } = this.#parts
    const pool = this.#pool
    const ms = at - this.now
    const told = ending === 'lost' ? 'cancelled' : ending
    if (ending === 'ok' || ending === 'cancelled') this.#meter?.end()
    pool.leave(this.#permit, this.#spentMs(at), ending, at)
    observer.attempted(pool.name, this.#permit.backend.id, told, ms)
    if (this.#record) this.#note(this.#record, told, at)
    return ms
  }

  #note(record: AttemptRecord, ending: string, at: number): void {
    record.ending = ending
    record.ms = at - this.now
    record.connect = (this.#sentAt || at) - this.now
    if (this.#sentAt) record.firstByte = (this.#headAt || at) - this.#sentAt
    if (this.#headAt) record.transfer = at - this.#headAt
  }
}

/**
 * The fields with the attempt's span as the parent of what the backend does. A `tracestate` belongs to its caller's trace, and ends with
 * it where the trace is a new one (W3C Trace Context, section 3.3).
 */
function traced(
  headers: RawPairs,
  { traceId, parentId }: CallTrace,
  { spanId = '' }: AttemptRecord,
): RawPairs {
  const replaced = parentId === undefined ? [TRACEPARENT, TRACESTATE] : [TRACEPARENT]
  const others = headers.filter((_, i) => !replaced.includes((headers[i & ~1] as string).toLowerCase()))
  return [...others, TRACEPARENT, traceparent(traceId, spanId)]
}

/** Releases an answer that nobody reads. */
export function discard(result: AttemptResult): void {
  if ('reply' in result) letGo(result.reply.body)
}

function asFault(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error
  return new GatewayError('internal', 'the gateway failed on this call', { cause: error })
}

function endingOf(failure: GatewayError): AttemptOutcome | 'cancelled' | 'lost' {
  if (failure === LOSER) return 'lost'
  if (failure.code === 'callerLeft') return 'cancelled'
  return failure.code === 'deadline' || failure.code === 'backendTimeout' ? 'timeout' : 'error'
}

/** A caller's mistake counts as a success: the backend did its work. */
const ENDINGS: Readonly<Record<Verdict['kind'], AttemptOutcome>> = {
  ok: 'ok',
  other: 'ok',
  refused: 'ok',
  overloaded: 'overloaded',
  failed: 'error',
}
