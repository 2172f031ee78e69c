/** A transfer: one request of the plain client, from the wait for a connection to the end of the answer. */
import type { RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { isFieldName, isFieldValue } from '../../core/field-syntax.ts'
import { Deferred } from '../../lib/deferred.ts'
import type { Timer, Wheel } from '../../lib/wheel.ts'
import type { BackendRequest, BackendResponse } from './exchange.ts'
import { type Flow, Incoming } from './incoming.ts'
import type { ReplyHead } from './reply-head.ts'
import type { ReplySink } from './reply-reader.ts'

/** The connection on which a transfer is sent. */
export interface Carrier {
  pause(): void
  resume(): void
  destroy(): void
}

export interface TransferParts {
  readonly request: BackendRequest
  /** The fields that are sent, in place of the request's. */
  readonly headers: RawPairs
  /** The path before the target. */
  readonly prefix: string
  readonly wheel: Wheel
  readonly bodyTimeoutMs: number
}

const TARGET = /^\/[!-~]*$/
// Fields that are made here, from what is really sent.
const FRAMING = new Set(['host', 'content-length', 'transfer-encoding', 'connection', 'expect'])

/** Settles with the head of the answer, or fails with a GatewayError. */
export class Transfer extends Deferred<BackendResponse> implements ReplySink, Flow, Timer {
  due = Number.POSITIVE_INFINITY
  slot = -1
  previous: Timer | undefined
  next: Timer | undefined
  connection: Carrier | undefined
  readonly #request: BackendRequest
  readonly #headers: RawPairs
  readonly #prefix: string
  readonly #wheel: Wheel
  readonly #bodyTimeoutMs: number
  readonly #onAbort = () => this.abort(this.#request.signal.reason)
  #whole: BackendResponse['reply'] | undefined
  #body: Incoming | undefined
  #paused = false
  #over = false

  constructor({ request, headers, prefix, wheel, bodyTimeoutMs }: TransferParts) {
    super()
    this.#request = request
    this.#headers = headers
    this.#prefix = prefix
    this.#wheel = wheel
    this.#bodyTimeoutMs = bodyTimeoutMs
    const { signal, headTimeoutMs } = request
    if (signal.aborted) {
      this.#onAbort()
      return
    }
    signal.addEventListener('abort', this.#onAbort, { once: true })
    wheel.arm(this, Math.max(1, headTimeoutMs), request.now)
  }

  /** Whether nobody waits for it any more. */
  get isOver(): boolean {
    return this.#over
  }

  get now(): number | undefined {
    return this.#request.now
  }

  get method(): string {
    return this.#request.method
  }

  get body(): Uint8Array | undefined {
    return this.#request.body as Uint8Array | undefined
  }

  /** The head of the request as text. Throws `badRequest` where HTTP does not allow a character in it. */
  requestHead(authority: string): string {
    const { method } = this.#request
    const headers = this.#headers
    const path = this.#prefix + this.#request.target
    const to = { method, path, authority: this.#request.host ?? authority }
    const known = WRITTEN.get(headers)
    let text = known && isSame(known.to, to) ? known.text : headText(to, headers)
    if (text !== known?.text) WRITTEN.set(headers, { to, text })
    const { body } = this
    if (body) text += `Content-Length: ${body.length}\r\n`
    // Without it, some servers wait for a body that these methods usually have (RFC 9110, section 8.6).
    else if (method === 'POST' || method === 'PUT' || method === 'PATCH') text += 'Content-Length: 0\r\n'
    return `${text}\r\n`
  }

  /** Bytes have arrived: the idle timeout starts anew. */
  received(): void {
    if (this.#body && !this.#paused) this.#wheel.arm(this, this.#bodyTimeoutMs)
  }

  whole({ status, headers, notes }: ReplyHead, body: Uint8Array): void {
    this.#stop()
    this.#whole = { status, headers, body, notes }
  }

  /** To be called when the connection is free again: the listener of a whole answer may need one. */
  deliver(now: number): void {
    if (this.#whole) this.settle({ reply: this.#whole, over: undefined, at: now })
  }

  head({ status, headers, notes }: ReplyHead): Incoming {
    this.#wheel.disarm(this)
    this.#wheel.arm(this, this.#bodyTimeoutMs)
    const over = new Deferred<Error | undefined>()
    const body = new Incoming(this, (error) => {
      this.#stop()
      over.settle(error)
    })
    this.#body = body
    this.settle({ reply: { status, headers, body, notes, trailers: () => body.trailers }, over })
    return body
  }

  end(trailers: RawPairs): void {
    this.#body?.end(trailers)
  }

  /** `isUnsent`: the backend has received nothing of the request. */
  break(fault: GatewayError, isUnsent = this.connection === undefined): void {
    if (this.#over) return
    if (this.#body) {
      this.#body.fail(fault)
    } else {
      this.#stop()
      this.fail(isUnsent ? unsent(fault) : fault)
    }
  }

  pause(): void {
    this.#paused = true
    this.#wheel.disarm(this)
    this.connection?.pause()
  }

  resume(): void {
    this.#paused = false
    if (this.#over) return
    this.#wheel.arm(this, this.#bodyTimeoutMs)
    this.connection?.resume()
  }

  abort(reason: Error): void {
    const fault =
      reason instanceof GatewayError
        ? reason
        : new GatewayError('callerLeft', reason.message, { cause: reason })
    this.break(fault)
    this.connection?.destroy()
  }

  /** The deadline has passed, unless callers with more time have joined. */
  run(): void {
    const left = this.#body ? 0 : (this.#request.leftMs?.() ?? 0)
    if (left > 0) return this.#wheel.arm(this, left)
    const backend = new URL(this.#request.url).host
    const what = this.#body
      ? 'stopped in the middle of an answer'
      : this.connection
        ? 'sent no answer in time'
        : 'had no connection free in time'
    this.abort(new GatewayError('backendTimeout', `the backend ${what}`, { backend }))
  }

  #stop(): void {
    this.#over = true
    this.#wheel.disarm(this)
    this.#request.signal.removeEventListener('abort', this.#onAbort)
  }
}

interface RequestTo {
  readonly method: string
  readonly path: string
  readonly authority: string
}

/** The head last made from a list of fields: a client that sends the same list again needs no new check of it. */
const WRITTEN = new WeakMap<RawPairs, { readonly to: RequestTo; readonly text: string }>()

function isSame(a: RequestTo, b: RequestTo): boolean {
  return a.method === b.method && a.path === b.path && a.authority === b.authority
}

/** Request line, Host, and all fields but those of framing. */
function headText({ method, path, authority }: RequestTo, headers: RawPairs): string {
  if (!isFieldName(method) || !TARGET.test(path) || !isFieldValue(authority))
    throw unsendable('its method, target or host')
  let text = `${method} ${path} HTTP/1.1\r\nHost: ${authority}\r\n`
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    const value = headers[i + 1] as string
    if (!isFieldName(name) || !isFieldValue(value)) throw unsendable(`its field ${JSON.stringify(name)}`)
    if (name.length < 18 && FRAMING.has(name.toLowerCase())) continue
    text += `${name}: ${value}\r\n`
  }
  return text
}

function unsendable(what: string): GatewayError {
  return new GatewayError(
    'badRequest',
    `the request cannot be forwarded: ${what} has a character that HTTP does not allow`,
    {
      unsent: true,
    },
  )
}

/** The same fault, marked as one of a request that was not sent. */
function unsent(fault: GatewayError): GatewayError {
  if (fault.detail.unsent || fault.code === 'callerLeft' || fault.code === 'deadline') return fault
  return new GatewayError(fault.code, fault.message, { ...fault.detail, unsent: true })
}
