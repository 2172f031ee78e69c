/**
 * A request that a client of ours sends, from the wait for a connection to the end of the answer: its deadlines, its abort,
 * and the body of the answer. How it is sent is the matter of the protocol.
 */
import type { RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Reply } from '../../core/reply.ts'
import { Deferred } from '../../lib/deferred.ts'
import type { Timer, Wheel } from '../../lib/wheel.ts'
import type { BackendRequest, BackendResponse } from './exchange.ts'
import { type Flow, Incoming } from './incoming.ts'

export interface ExchangeParts {
  readonly request: BackendRequest
  /** The fields that are sent, in place of the request's. */
  readonly headers: RawPairs
  /** The path before the target. */
  readonly prefix: string
  readonly wheel: Wheel
  readonly bodyTimeoutMs: number
}

/** Settles with the head of the answer, or fails with a GatewayError. */
export abstract class PendingExchange extends Deferred<BackendResponse> implements Flow, Timer {
  due = Number.POSITIVE_INFINITY
  slot = -1
  previous: Timer | undefined
  next: Timer | undefined
  protected readonly request: BackendRequest
  protected readonly headers: RawPairs
  protected readonly prefix: string
  readonly #wheel: Wheel
  readonly #bodyTimeoutMs: number
  readonly #onAbort = () => this.abort(this.request.signal.reason)
  #body: Incoming | undefined
  #paused = false
  #over = false

  constructor({ request, headers, prefix, wheel, bodyTimeoutMs }: ExchangeParts) {
    super()
    this.request = request
    this.headers = headers
    this.prefix = prefix
    this.#wheel = wheel
    this.#bodyTimeoutMs = bodyTimeoutMs
  }

  /** To be called once, before anything else. */
  begin(): this {
    const { signal, headTimeoutMs, now } = this.request
    if (signal.aborted) {
      this.#onAbort()
      return this
    }
    signal.addEventListener('abort', this.#onAbort, { once: true })
    this.#wheel.arm(this, Math.max(1, headTimeoutMs), now)
    return this
  }

  /** Whether nobody waits for it any more. */
  get isOver(): boolean {
    return this.#over
  }

  /** When the request was made, where that is known. */
  get now(): number | undefined {
    return this.request.now
  }

  /** A connection has the request. */
  protected abstract get isSent(): boolean

  /** The request's body still streams. Its sender's silence would count as the backend's, and the door watches both. */
  protected get isUploading(): boolean {
    return false
  }

  /** Stops reading from the backend. */
  protected abstract hold(): void
  protected abstract proceed(): void
  /** Ends the exchange at the backend. */
  protected abstract cut(): void

  /** The backend is silent beyond the deadline. */
  protected late(): void {}

  /** Something has arrived: the idle timeout starts anew. */
  received(): void {
    if (this.#body && !this.#paused) this.#awaitBody()
  }

  /** Answers with the head; the body follows. */
  protected respond(head: Pick<Reply, 'status' | 'headers' | 'notes'>): Incoming {
    this.#wheel.disarm(this)
    this.#awaitBody()
    const over = new Deferred<Error | undefined>()
    const body = new Incoming(this, (error) => {
      this.stop()
      over.settle(error)
    })
    this.#body = body
    const { status, headers, notes } = head
    this.settle({
      reply: { status, headers, body, ...(notes && { notes }), trailers: () => body.trailers },
      over,
    })
    return body
  }

  /** `isUnsent`: the backend has received nothing of the request. */
  break(fault: GatewayError, isUnsent = !this.isSent): void {
    if (this.#over) return
    if (this.#body) {
      this.#body.fail(fault)
    } else {
      this.stop()
      this.fail(isUnsent ? unsent(fault) : fault)
    }
  }

  pause(): void {
    this.#paused = true
    this.#wheel.disarm(this)
    this.hold()
  }

  resume(): void {
    this.#paused = false
    if (this.#over) return
    this.#awaitBody()
    this.proceed()
  }

  abort(reason: Error): void {
    const fault =
      reason instanceof GatewayError
        ? reason
        : new GatewayError('callerLeft', reason.message, { cause: reason })
    this.break(fault)
    this.cut()
  }

  /** The deadline has passed, unless callers with more time have joined. */
  run(): void {
    const left = this.#body ? 0 : (this.request.leftMs?.() ?? 0)
    if (left > 0) return this.#wheel.arm(this, left)
    const backend = new URL(this.request.url).host
    const what = this.#body
      ? 'stopped in the middle of an answer'
      : this.isSent
        ? 'sent no answer in time'
        : 'had no connection free in time'
    if (this.isSent) this.late()
    this.abort(new GatewayError('backendTimeout', `the backend ${what}`, { backend }))
  }

  /** The exchange is over: neither its deadline nor its signal matters any more. */
  protected stop(): void {
    this.#over = true
    this.#wheel.disarm(this)
    this.request.signal.removeEventListener('abort', this.#onAbort)
  }

  #awaitBody(): void {
    if (!this.isUploading) this.#wheel.arm(this, this.#bodyTimeoutMs)
  }
}

/** The fault of a request that HTTP does not allow; `what`: the part that is at fault. */
export function unsendable(what: string): GatewayError {
  return new GatewayError(
    'badRequest',
    `the request cannot be forwarded: ${what} has a character that HTTP does not allow`,
    { unsent: true },
  )
}

/** The same fault, marked as one of a request that was not sent. */
function unsent(fault: GatewayError): GatewayError {
  if (fault.detail.unsent || fault.code === 'callerLeft' || fault.code === 'deadline') return fault
  return new GatewayError(fault.code, fault.message, { ...fault.detail, unsent: true })
}
