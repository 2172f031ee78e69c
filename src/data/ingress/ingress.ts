/**
 * Turns a request at a door into a Call, and writes the answer back to the door. The only place that turns a fault
 * into HTTP, in the client's own dialect.
 */
import { type Body, type Call, header, isWhole, type RawPairs, type WholeBody } from '../../core/call.ts'
import { CallRecord } from '../../core/call-record.ts'
import { Chunks } from '../../core/chunks.ts'
import { GatewayError } from '../../core/errors.ts'
import { namedTenant } from '../../core/identity.ts'
import type { Log } from '../../core/log.ts'
import type { Answered, Observer } from '../../core/observer.ts'
import type { Answer, Outcome } from '../../core/reply.ts'
import { TRACEPARENT } from '../../core/trace-context.ts'
import type { Clock } from '../../lib/clock.ts'
import { cooperatively } from '../../lib/cooperative.ts'
import { type Awaitable, isAwaitable, type Listener, subscribe } from '../../lib/deferred.ts'
import type { Timer, Wheel } from '../../lib/wheel.ts'
import type { Authentication, AuthLive } from '../auth/authenticator.ts'
import { refusalOf } from '../auth/authorize.ts'
import type { Called, CallReporter } from '../calls/call-reporter.ts'
import { cutShort, sendError, statusTold, toldOf } from '../exchange/error-answer.ts'
import type { HeadNotes, HttpExchange } from '../exchange/exchange.ts'
import { isWholeReply, sendWhole } from '../exchange/whole-answer.ts'
import { type FastRefusal, noFastRefusal } from '../hits/fast-refusal.ts'
import { type MemoryHit, noMemoryHit } from '../hits/memory-hit.ts'
import type { SharedHit } from '../hits/shared-hit.ts'
import { clientFields } from '../http/headers.ts'
import { answerToQuery, checkQuery } from '../http/query.ts'
import { serverTiming } from '../http/server-timing.ts'
import { answerFields } from '../http/status.ts'
import { addedFields } from '../route/added-fields.ts'
import { isOpen, type Matched, type OpenMatched } from '../route/routes.ts'
import { settle, settleSteps } from '../route/settle.ts'
import type { TierMiss } from '../rows/lookup-context.ts'
import { ArrivedCall, fieldsOf, longestTimeout, timeoutOf } from './arrived-call.ts'
import { bodyOf, readAgain } from './call-body.ts'
import { authenticate, routed } from './identified.ts'
import { internal, textOf } from './internal-fault.ts'
import { preflightRoute } from './preflight.ts'
import { AnswerStream, discard } from './stream.ts'

export interface IngressParts {
  /** What the settings may change while calls run; asked once a call. */
  readonly live: () => AuthLive
  /** The pipeline; answers at once if there is nothing to wait for. */
  readonly answer: (
    call: Call,
    matched: Matched,
    notes: HeadNotes,
    tierMiss?: TierMiss,
  ) => Answer | Awaitable<Answer>
  /** The fast path of memory hits, for doors that recognise a head. */
  readonly memoryHit?: MemoryHit
  /** The fast path of refusals, for such doors. */
  readonly fastRefusal?: FastRefusal
  /** The fast path of shared hits; left out: there is no shared tier. */
  readonly sharedHit?: SharedHit | undefined
  readonly observer: Observer
  readonly log: Log
  readonly clock: Clock
  /** Holds the deadlines of calls. */
  readonly wheel: Wheel
  /** Makes the id of a request that has none of its own. */
  readonly mintId: () => string
}

export interface Ingress extends Pick<IngressParts, 'live' | 'log' | 'mintId'> {
  serve(exchange: HttpExchange): void
  readonly memoryHit: MemoryHit
  readonly fastRefusal: FastRefusal
}

export function createIngress(parts: IngressParts): Ingress {
  const { sharedHit } = parts
  return {
    serve(exchange) {
      const isHandled = sharedHit?.(exchange, (began, tierMiss) =>
        new RequestHandler(parts, exchange, began).start(tierMiss),
      )
      if (!isHandled) new RequestHandler(parts, exchange).start()
    },
    memoryHit: parts.memoryHit ?? noMemoryHit,
    fastRefusal: parts.fastRefusal ?? noFastRefusal,
    live: parts.live,
    log: parts.log,
    mintId: parts.mintId,
  }
}

/** Handles one request, from its head to the end of its answer. */
class RequestHandler implements Timer, Listener<Answer> {
  due = Number.POSITIVE_INFINITY
  slot = -1
  previous: Timer | undefined
  next: Timer | undefined
  readonly #parts: IngressParts
  readonly #exchange: HttpExchange
  readonly #began: number
  #call: ArrivedCall | undefined
  #matched: Matched | undefined
  #answer: Answer | undefined
  #timeoutMs = 0
  /** Undefined: nobody wants to know what becomes of the call. */
  #record: CallRecord | undefined
  #calls: CallReporter | undefined
  #bytesOut = 0
  #over = false
  #tierMiss: TierMiss | undefined
  /** Set if the body of the request or of the answer streams. */
  #streamed: AnswerStream | undefined

  constructor(parts: IngressParts, exchange: HttpExchange, began = parts.clock.now()) {
    this.#parts = parts
    this.#exchange = exchange
    this.#began = began
  }

  /** `tierMiss`: the tiers were asked for a shared hit already, which took some of the call's time. */
  start(tierMiss?: TierMiss): void {
    this.#tierMiss = tierMiss
    try {
      const { live, clock } = this.#parts
      const exchange = this.#exchange
      const settings = live()
      this.#calls = settings.calls
      this.#record = settings.calls?.begin(this.#began, header(exchange.headers, TRACEPARENT))
      exchange.check()
      const asked = exchange.method === 'OPTIONS' ? preflightRoute(exchange, settings) : undefined
      if (asked) return this.#preflight(asked)
      if (!settings.auth) return this.#receive(settings)
      const found = authenticate(exchange, settings, clock.wall())
      if (!(found instanceof Promise)) return this.#receive(settings, found)
      exchange.onAbort = () => this.#left()
      found
        .then((authentication) => {
          if (!this.#over) this.#receive(settings, authentication)
        })
        .catch((error: unknown) => this.#fail(error))
    } catch (error) {
      this.#fail(error)
    }
  }

  /** A browser asks whether a page may make a request. */
  #preflight(matched: Matched): void {
    this.#matched = matched
    const pairs = matched.route.cors?.preflight(this.#exchange.headers) ?? []
    this.#exchange.answer(204, { pairs }, [], NOTHING)
    this.#end(undefined)
  }

  /** The caller is known, if callers are asked: finds the route, and takes the body. */
  #receive(settings: AuthLive, authentication?: Authentication): void {
    const { wheel } = this.#parts
    const exchange = this.#exchange
    try {
      const { matched, refusal } = routed(exchange, settings, authentication)
      this.#matched = matched
      if (refusal) throw refusal
      checkQuery({ method: exchange.method, target: matched.target, headers: fieldsOf(exchange) })
      const timeout = Math.min(longestTimeout(matched), timeoutOf(exchange))
      this.#timeoutMs = timeout
      if (matched.route.serverTiming) this.#record ??= new CallRecord(this.#began)
      const call = new ArrivedCall(exchange, matched, {
        deadline: this.#began + timeout,
        record: this.#record,
      })
      this.#call = call
      exchange.onAbort = () => this.#left()
      wheel.arm(this, timeout, this.#began)
      call.isUpgrade = exchange.isUpgrade === true && matched.protocol.passesUpgrades === true
      const body = bodyOf(exchange, matched, { call, maxBytes: settings.maxBodyBytes })
      if (body instanceof Promise)
        body.then((bytes) => this.#arrived(bytes)).catch((error: unknown) => this.#fail(error))
      else if (isWhole(body)) this.#arrived(body)
      else this.#answerCall(readAgain(matched, this.#stream.requestBody(body)))
    } catch (error) {
      this.#fail(error)
    }
  }

  /** The whole body has arrived. */
  #arrived(body: WholeBody): void {
    const matched = this.#matched as Matched
    if (!isOpen(matched)) this.#answerCall(body)
    else if (body instanceof Chunks) this.#settleLong(matched, body)
    else this.#settled(settle(matched, body), body)
  }

  #settleLong(matched: OpenMatched, body: Chunks): void {
    cooperatively(settleSteps(matched, body), (this.#call as ArrivedCall).signal)
      .then((settled) => this.#settled(settled, body))
      .catch((error: unknown) => this.#fail(error))
  }

  /** The body has settled the route, whose timeout counts from the arrival of the request. */
  #settled(matched: Matched | undefined, body: WholeBody): void {
    const call = this.#call as ArrivedCall
    if (!matched)
      throw new GatewayError(
        'unknownRoute',
        `no route matches ${this.#exchange.method} ${call.path} and the model in its body`,
      )
    this.#matched = matched
    const { authentication } = this.#exchange.notes
    const refusal = authentication && refusalOf(authentication, matched)
    if (refusal) throw refusal
    this.#timeoutMs = Math.min(matched.route.timeout, timeoutOf(this.#exchange))
    call.settle(matched, this.#began + this.#timeoutMs)
    this.#parts.wheel.arm(this, this.#timeoutMs, this.#began)
    this.#answerCall(body)
  }

  #answerCall(body: Body): void {
    const call = this.#call as ArrivedCall
    call.body = body
    if (isWhole(body) && body.length > 0) this.#record?.step('receive', this.#began, this.#parts.clock.now())
    const answer = this.#parts.answer(call, this.#matched as Matched, this.#exchange.notes, this.#tierMiss)
    if (isAwaitable(answer)) subscribe(answer, this)
    else this.#send(answer)
  }

  /** Gets the answer. Must not throw: the caller is the code that made the answer, and has nothing to do with this request. */
  onValue(answer: Answer): void {
    try {
      this.#send(answer)
    } catch (error) {
      this.#fail(error)
    }
  }

  onError(error: unknown): void {
    this.#fail(error)
  }

  #send(given: Answer): void {
    const answer = answerToQuery(this.#call as ArrivedCall, this.#matched as Matched, given)
    const { reply } = answer
    if (this.#over) return discard(reply)
    this.#answer = answer
    const common = clientFields(reply)
    const own = this.#withTiming(this.#withAdded(answerFields(answer)))
    if (isWholeReply(reply)) {
      sendWhole(this.#exchange, reply, common, own)
      this.#bytesOut = reply.body.length
      this.#end(undefined)
    } else {
      const { signal } = this.#call as ArrivedCall
      this.#stream
        .pass(reply, [...common.pairs, ...own], signal)
        .then(() => this.#end(undefined))
        .catch((error: unknown) => this.#fail(error))
    }
  }

  get #stream(): AnswerStream {
    const { clock, wheel } = this.#parts
    this.#streamed ??= new AnswerStream(this.#exchange, {
      idleMs: this.#matched?.route.idleTimeout,
      until: this.#began + timeoutOf(this.#exchange),
      arm: (ms, now) => wheel.arm(this, ms, now),
      now: () => clock.now(),
    })
    return this.#streamed
  }

  /** Called at the deadline. */
  run(): void {
    const fault = this.#streamed?.hasBegun
      ? this.#streamed.fault()
      : new GatewayError('deadline', `no answer within ${this.#timeoutMs} ms`)
    this.#call?.abort(fault)
    // The signal stops the work on the call; the caller is answered at once, without waiting for that.
    this.#fail(fault)
  }

  #left(): void {
    const fault = new GatewayError('callerLeft', 'the client closed the connection')
    this.#call?.abort(fault)
    this.#fail(fault)
  }

  /** Answers with an error in the dialect of the call; one that comes after the first byte of an answer ends that. */
  #fail(error: unknown): void {
    if (this.#over) return
    const { clock, log } = this.#parts
    const fault = error instanceof GatewayError ? error : internal(log, error, this.#exchange.requestId)
    try {
      if (this.#exchange.status !== 0 || fault.code === 'callerLeft') cutShort(this.#exchange, fault)
      else this.#bytesOut = sendError(this.#exchange, fault, toldOf(this.#matched, clock, this.#record))
    } catch (bug) {
      log.error('ingress.bug', { error: textOf(bug), requestId: this.#exchange.requestId })
      this.#exchange.cut()
    }
    this.#end(fault)
    // Nobody waits any more for the work that still runs.
    this.#call?.abort(fault)
  }

  #withAdded(own: RawPairs): RawPairs {
    const added = this.#matched && addedFields(this.#matched.route, fieldsOf(this.#exchange))
    return added ? [...own, ...added.pairs] : own
  }

  #withTiming(own: RawPairs): RawPairs {
    return this.#record && this.#matched?.route.serverTiming
      ? [...own, ...serverTiming(this.#record, this.#parts.clock.now())]
      : own
  }

  /** What the call was, for the access log. */
  readonly #called = (): Called => {
    const { peer, method, notes, length } = this.#exchange
    const { body } = this.#call ?? {}
    const here = body && isWhole(body) ? body.length : (this.#streamed?.bytesIn ?? 0)
    const bytesOut = this.#streamed?.bytesOut ?? this.#bytesOut
    return { peer, method, path: notes.path ?? '', bytesIn: here || (length ?? 0), bytesOut }
  }

  #end(fault: GatewayError | undefined): void {
    this.#over = true
    this.#exchange.onAbort = undefined
    const { wheel, observer, clock } = this.#parts
    wheel.disarm(this)
    const matched = this.#matched
    const { reply, outcome = NO_OUTCOME, pool = matched?.route.pool } = this.#answer ?? NONE_GIVEN
    const answered: Answered = {
      door: this.#exchange.door,
      requestId: this.#exchange.requestId,
      route: matched?.route.name ?? '',
      pool,
      protocol: matched?.protocol.name ?? '',
      model: matched?.target.model,
      tenant: namedTenant(this.#exchange.notes.identity),
      status: statusTold(this.#exchange, reply, fault),
      outcome,
      ms: clock.now() - this.#began,
      fault: fault?.code,
      limit: fault?.detail.limit,
      saved: reply?.saved?.(),
    }
    observer.answered(answered)
    if (this.#record) this.#calls?.ended(answered, this.#called, this.#record)
  }
}

const NO_OUTCOME: Outcome = { kind: 'none' }
const NONE_GIVEN: Partial<Answer> = {}

const NOTHING = new Uint8Array(0)
