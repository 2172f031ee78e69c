/** The HTTP exchange of the HTTP/2 door: one stream of a connection. */
import type { ServerHttp2Stream } from 'node:http2'
import type { RawPairs, WholeBody } from '../../../core/call.ts'
import type { PeerCertificate } from '../../../core/peer-certificate.ts'
import type { Fields } from '../../../core/reply.ts'
import type { Signal } from '../../../lib/cancel.ts'
import type { HeadNotes, HttpExchange } from '../../exchange/exchange.ts'
import { hasNoBody, lowered, loweredFields, sharedLowered } from '../../exchange/lowered.ts'
import { ReadyFields } from '../../exchange/ready-fields.ts'
import type { AnswerWriter } from '../../hits/memory-hit.ts'
import type { ReadyAnswer } from '../../hits/ready-answers.ts'
import type { HttpBody } from '../node-body.ts'
import type { Http2Head } from './head.ts'

/** RST_STREAM codes (RFC 9113, section 7). */
export const NO_ERROR = 0
export const PROTOCOL_ERROR = 1
export const INTERNAL_ERROR = 2
export const CANCEL = 8

/** What a stream needs of its connection. */
export interface Http2Peer {
  readonly peer: string
  readonly certificate: PeerCertificate | undefined
}

/** A stream and what was read of it. */
export interface Http2Request {
  readonly stream: ServerHttp2Stream
  readonly head: Http2Head
  readonly body: HttpBody
}

const OPEN = 0
const STREAMING = 1
const ENDED = 2

export class Http2Exchange implements HttpExchange, AnswerWriter {
  readonly door = 'h2'
  readonly method: string
  readonly target: string
  readonly host: string
  readonly length: number | undefined
  onAbort: (() => void) | undefined
  status = 0
  #head: Http2Head
  readonly #stream: ServerHttp2Stream
  readonly #body: HttpBody
  readonly #connection: Http2Peer
  #state = OPEN
  /** The answer has no body, whatever is written. */
  #isBodiless = false
  #trailers: RawPairs = []

  constructor({ stream, head, body }: Http2Request, connection: Http2Peer) {
    this.#head = head
    this.#stream = stream
    this.#body = body
    this.#connection = connection
    this.method = head.method
    this.target = head.target
    this.host = head.host
    this.length = stream.endAfterHeaders ? 0 : head.length
  }

  /** Takes the call's own head in place of one that differs in volatile fields. */
  use(head: Http2Head): void {
    this.#head = head
  }

  get headers(): RawPairs {
    return this.#head.headers
  }

  get notes(): HeadNotes {
    return this.#head.notes
  }

  get peer(): string {
    return this.#connection.peer
  }

  get certificate(): PeerCertificate | undefined {
    return this.#connection.certificate
  }

  get isBodyHere(): boolean {
    return this.length === 0 || this.#body.isRead
  }

  check(): void {
    // A malformed head ends its stream before it becomes an exchange.
  }

  whole(maxBytes: number, signal: () => Signal): WholeBody | Promise<WholeBody> {
    const held = this.#body.held(maxBytes)
    if (held) return held
    this.#invite()
    return this.#body.whole(maxBytes, signal())
  }

  stream(maxBytes: number): AsyncIterable<Uint8Array> {
    this.#invite()
    return this.#body.stream(maxBytes)
  }

  answer(status: number, common: Fields, own: RawPairs, body: Uint8Array): void {
    this.#claim(status)
    const framing = hasNoBody(status) ? [] : ['content-length', String(body.length)]
    this.#respond([':status', String(status), ...sharedLowered(common), ...lowered(own), ...framing], body)
  }

  sendFields(answer: ReadyAnswer, tier: string, wall: number, cors: RawPairs): void {
    const { reply } = answer
    this.#claim(reply.status)
    answer.fields ??= new ReadyFields(answer, tier)
    const fields = answer.fields.at(wall)
    const trailers = reply.trailers?.() ?? []
    this.#respond(cors.length === 0 ? fields : [...fields, ...lowered(cors)], reply.body as Uint8Array, trailers)
  }

  /** Never called: `sendFields` is here. */
  connectionFields(): string {
    return ''
  }

  send(): void {}

  begin(status: number, headers: RawPairs): void {
    this.#claim(status)
    const stream = this.#stream
    const declared = headers.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === 'content-length')
    const length = declared < 0 ? undefined : Number(headers[declared + 1])
    this.#isBodiless = this.method === 'HEAD' || hasNoBody(status)
    if (this.#isGone) return
    const fields = loweredFields(status, headers, length)
    if (!this.#isBodiless) stream.once('wantTrailers', this.#onWantTrailers)
    stream.respond(fields as string[], this.#isBodiless ? { endStream: true } : { waitForTrailers: true })
  }

  write(chunk: Uint8Array): boolean {
    if (this.#state !== STREAMING) throw new Error('the answer has not begun, or is over')
    return this.#isBodiless || this.#isGone || this.#stream.write(chunk)
  }

  drained(): Promise<void> {
    const stream = this.#stream
    if (this.#isGone) return Promise.resolve()
    return new Promise((resolve) => {
      const done = () => {
        stream.off('drain', done).off('close', done)
        resolve()
      }
      stream.on('drain', done).on('close', done)
    })
  }

  end(trailers: RawPairs): void {
    if (this.#state !== STREAMING) throw new Error('the answer has not begun, or is over')
    this.#trailers = trailers
    this.#state = ENDED
    if (!this.#isBodiless && !this.#isGone) this.#stream.end()
    this.#refuseRest()
  }

  cut(): void {
    this.#state = ENDED
    this.#stream.close(INTERNAL_ERROR)
  }

  /** The client does not read its answer. */
  cancel(): void {
    this.#stream.close(CANCEL)
  }

  /** The stream is closed. */
  closed(): void {
    const hasEnded = this.#state === ENDED
    this.#state = ENDED
    if (!hasEnded) this.onAbort?.()
  }

  /** The answer is complete, though the client may not have read it. */
  get isAnswered(): boolean {
    return this.#state === ENDED
  }

  #claim(status: number): void {
    if (this.#state !== OPEN) throw new Error('a request is answered once')
    this.#state = STREAMING
    this.status = status
  }

  /** Sends all of an answer. */
  #respond(fields: RawPairs, body: Uint8Array, trailers: RawPairs = []): void {
    const stream = this.#stream
    const isEmpty = body.length === 0 || this.method === 'HEAD' || hasNoBody(this.status)
    this.#state = ENDED
    if (this.#isGone) return
    this.#trailers = trailers
    const hasTrailers = trailers.length > 0
    if (hasTrailers) stream.once('wantTrailers', this.#onWantTrailers)
    stream.respond(fields as string[], { endStream: isEmpty && !hasTrailers, waitForTrailers: hasTrailers })
    if (!isEmpty) stream.end(body)
    else if (hasTrailers) stream.end()
    this.#refuseRest()
  }

  /** Nobody wants what is still to come of the request: its sender is told so, behind the answer (RFC 9113, section 8.1). */
  #refuseRest(): void {
    if (this.#body.isRead || this.#stream.endAfterHeaders) return
    const stream = this.#stream
    this.#body.discard(() => {})
    stream.once('finish', () => {
      if (!stream.readableEnded) stream.close(NO_ERROR)
    })
  }

  get #isGone(): boolean {
    return this.#stream.closed || this.#stream.destroyed
  }

  readonly #onWantTrailers = (): void => {
    const trailers: Record<string, string[]> = {}
    const fields = lowered(this.#trailers)
    for (let i = 0; i < fields.length; i += 2) (trailers[fields[i] as string] ??= []).push(fields[i + 1] as string)
    if (!this.#isGone) this.#stream.sendTrailers(trailers)
  }

  /** Sends 100 Continue, once the head is accepted. */
  #invite(): void {
    const { headers } = this
    for (let i = 0; i < headers.length; i += 2)
      if (headers[i] === 'expect' && /\b100-continue\b/i.test(headers[i + 1] as string) && !this.#isGone)
        this.#stream.additionalHeaders({ ':status': 100 })
  }
}
