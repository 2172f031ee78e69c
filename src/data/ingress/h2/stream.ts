/** The HTTP exchange of the HTTP/2 door: one stream of a connection. */
import { header, type RawPairs, type WholeBody } from '../../../core/call.ts'
import { GatewayError } from '../../../core/errors.ts'
import type { PeerCertificate } from '../../../core/peer-certificate.ts'
import type { Fields } from '../../../core/reply.ts'
import { callersRequestId, REQUEST_ID } from '../../../core/request-id.ts'
import { TRACEPARENT } from '../../../core/trace-context.ts'
import type { Signal } from '../../../lib/cancel.ts'
import { CANCEL, INTERNAL_ERROR, NO_ERROR } from '../../../lib/http2/frames.ts'
import { ownBytes } from '../../../lib/http2/payloads.ts'
import { SendingStream } from '../../../lib/http2/sending-stream.ts'
import { sendError, statusTold } from '../../exchange/error-answer.ts'
import type { HeadNotes, HttpExchange } from '../../exchange/exchange.ts'
import { hasNoBody } from '../../exchange/lowered.ts'
import { ReadyFields } from '../../exchange/ready-fields.ts'
import type { AnswerWriter, Repeated } from '../../hits/fast-answer.ts'
import { bodyFrom, type ReadyAnswer } from '../../hits/ready-answers.ts'
import type { CorsFields } from '../../route/cors.ts'
import type { Matched } from '../../route/routes.ts'
import { RequestBody, type RequestSource } from '../request-body.ts'
import { CONTINUE, streamHead, trailersBlock, wholeHead } from './answer-heads.ts'
import type { Http2Head } from './head.ts'
import type { Sender, StreamConnection, StreamOptions } from './stream-connection.ts'

const OPEN = 0
const STREAMING = 1
const ENDED = 2
const CLOSED = 3

export class Http2Stream extends SendingStream implements HttpExchange, AnswerWriter, RequestSource, Sender {
  readonly door = 'h2'
  readonly hasTrailers = true
  readonly body: RequestBody
  readonly length: number | undefined
  onAbort: (() => void) | undefined
  status = 0
  /** Replaced by the call's own, where it was read for another that differs in volatile fields. */
  head: Http2Head
  readonly #connection: StreamConnection
  readonly #fields: RawPairs
  readonly #mintId: () => string
  #requestId: string | undefined
  #state = OPEN
  #isRemoteOpen: boolean
  /** Bytes of the body so far. */
  #received = 0
  /** Bytes that have come and that nobody has taken. */
  #untaken = 0
  #isTaking = false
  #trailers: Buffer | undefined
  /** The answer has no body, whatever is written. */
  #isBodiless = false

  constructor(
    id: number,
    head: Http2Head,
    { connection, fields, mintId, isEnded, sendWindow, receiveWindow }: StreamOptions,
  ) {
    super(id, { flow: connection.flow, sendWindow, receiveWindow })
    this.head = head
    this.#connection = connection
    this.#fields = fields
    this.#mintId = mintId
    this.#isRemoteOpen = !isEnded
    this.length = isEnded ? 0 : head.length
    this.body = new RequestBody(this, connection.wheel, connection.bodyTimeoutMs)
    if (isEnded) this.body.end()
  }

  get method(): string {
    return this.head.method
  }

  get target(): string {
    return this.head.target
  }

  get host(): string {
    return this.head.host
  }

  get headers(): RawPairs {
    return this.head.headers
  }

  get notes(): HeadNotes {
    return this.head.notes
  }

  get requestId(): string {
    this.#requestId ??= callersRequestId(this.#fields) || this.#mintId()
    return this.#requestId
  }

  get traceparent(): string | undefined {
    return header(this.#fields, TRACEPARENT)
  }

  get peer(): string {
    return this.#connection.peer
  }

  get certificate(): PeerCertificate | undefined {
    return this.#connection.certificate
  }

  get isBodyHere(): boolean {
    return this.body.isRead
  }

  get isRemoteOpen(): boolean {
    return this.#isRemoteOpen
  }

  /** The answer is complete, though the client may not have read all of it. */
  get isAnswered(): boolean {
    return this.#state >= ENDED
  }

  get isClosed(): boolean {
    return this.#state === CLOSED
  }

  get isReceiving(): boolean {
    return this.#isRemoteOpen && !this.isAnswered
  }

  protected get endsWithData(): boolean {
    return this.#state === ENDED && !this.#trailers
  }

  // What the connection reads.

  /** `bytes`: of the frame, padding included; they count in the windows. False: the body is not as long as it was declared. */
  received(data: Uint8Array, bytes: number): boolean {
    this.receiveWindow -= bytes
    this.#untaken += bytes
    this.#received += data.length
    if (this.length !== undefined && this.#received > this.length) return false
    if (this.#isTaking || this.#state >= ENDED) this.#take()
    if (data.length > 0 && this.#state < ENDED) this.body.push(ownBytes(data))
    return true
  }

  /** False: as above. */
  remoteEnded(): boolean {
    this.#isRemoteOpen = false
    if (this.length !== undefined && this.#received !== this.length) return false
    this.body.end()
    return true
  }

  /** The answer is complete, and the client has let us send none of it since the last call. */
  get isStalled(): boolean {
    const hasMoved = this.hasMoved()
    return this.#state === ENDED && !hasMoved
  }

  /** The stream is over before it was answered, or its answer read. */
  aborted(): void {
    if (this.#state === CLOSED) return
    const isOpen = this.#state < ENDED
    this.#close()
    this.body.breakOff(new GatewayError('callerLeft', 'the client left before its body was complete'))
    if (isOpen) this.onAbort?.()
  }

  protected sent(isEnded: boolean): void {
    if (isEnded) this.#answered()
    else if (this.#state === ENDED) this.#sendTrailers()
  }

  start(): void {
    this.#isTaking = true
    this.#take()
  }

  stop(): void {
    this.#isTaking = false
  }

  pause(): void {
    this.#isTaking = false
  }

  resume(): void {
    this.start()
  }

  // The exchange.

  check(): void {
    // A malformed head ends its stream before it becomes an exchange.
  }

  whole(maxBytes: number, signal: () => Signal): WholeBody | Promise<WholeBody> {
    const here = this.body.here(maxBytes)
    if (here) return here
    this.#invite()
    return this.body.whole(maxBytes, signal())
  }

  stream(maxBytes: number): AsyncIterable<Uint8Array> {
    this.#invite()
    return this.body.stream(maxBytes)
  }

  answer(status: number, common: Fields, own: RawPairs, body: Uint8Array): void {
    const block = wholeHead(status, { common, own: this.#withId(own), bytes: body.length })
    this.#claim(status)
    this.#send(block, body)
  }

  answerWithTrailers(
    status: number,
    common: Fields,
    own: RawPairs,
    { body, trailers }: { body: Uint8Array; trailers: RawPairs },
  ): void {
    const block = wholeHead(status, { common, own: this.#withId(own), bytes: undefined })
    const behind = trailersBlock(trailers)
    this.#claim(status)
    this.#trailers = behind
    this.#send(block, body)
  }

  sendHit(answer: ReadyAnswer, tier: string, wall: number, cors: CorsFields | undefined): void {
    answer.fields ??= new ReadyFields(answer, tier)
    const block = answer.fields.at(wall, this.requestId, cors)
    this.#claim(answer.reply.status)
    this.#trailers = answer.fields.trailers
    this.#send(block, bodyFrom(answer))
  }

  sendError(_: Repeated, fault: GatewayError, matched: Matched | undefined, wall: number): number {
    sendError(this, fault, { matched, wall })
    return statusTold(this, undefined, fault)
  }

  begin(status: number, headers: RawPairs): void {
    const block = streamHead(status, this.#withId(headers))
    this.#claim(status)
    if (this.#state === CLOSED) return
    this.#isBodiless = this.method === 'HEAD' || hasNoBody(status)
    this.#connection.sendFields(this, block, this.#isBodiless)
  }

  write(chunk: Uint8Array): boolean {
    if (this.#state === CLOSED) return true
    if (this.#state !== STREAMING) throw new Error('the answer has not begun, or is over')
    if (this.#isBodiless || chunk.length === 0) return true
    return this.sendPiece(chunk)
  }

  end(trailers: RawPairs): void {
    if (this.#state === CLOSED) return
    if (this.#state !== STREAMING) throw new Error('the answer has not begun, or is over')
    this.#state = ENDED
    if (this.#isBodiless) return this.#answered()
    if (trailers.length > 0) this.#trailers = trailersBlock(trailers)
    if (!this.isWaiting) this.#sendTrailers()
  }

  cut(): void {
    this.#reset(INTERNAL_ERROR)
  }

  /** The client does not read its answer. */
  cancel(): void {
    this.#reset(CANCEL)
  }

  #withId(fields: RawPairs): RawPairs {
    return [...fields, REQUEST_ID, this.requestId]
  }

  #claim(status: number): void {
    if (this.#state === CLOSED) return
    if (this.#state !== OPEN) throw new Error('a request is answered once')
    this.#state = STREAMING
    this.status = status
  }

  /** Sends all of an answer. */
  #send(block: Buffer, body: Uint8Array): void {
    if (this.#state === CLOSED) return
    this.#state = ENDED
    const isEmpty = body.length === 0 || this.method === 'HEAD' || hasNoBody(this.status)
    const isAll = isEmpty && !this.#trailers
    this.#connection.sendFields(this, block, isAll)
    if (isAll) return this.#answered()
    if (isEmpty) this.#sendTrailers()
    else this.sendLast(body)
  }

  /** Ends the body. */
  #sendTrailers(): void {
    if (this.#trailers) this.#connection.sendFields(this, this.#trailers, true)
    else this.sendEnd()
    this.#answered()
  }

  /** The last byte of the answer is sent. */
  #answered(): void {
    this.#state = ENDED
    this.body.discard()
    this.#take()
    if (!this.#isRemoteOpen) return this.#close()
    // Nobody wants what is still to come of the request (RFC 9113, section 8.1).
    this.#reset(NO_ERROR)
  }

  #reset(code: number): void {
    if (this.#state === CLOSED) return
    this.#connection.sendReset(this, code)
    this.#close()
  }

  #close(): void {
    if (this.#state === CLOSED) return
    this.#state = CLOSED
    this.dropWaiting()
    this.#take()
    this.#connection.closed(this)
  }

  /** Lets the client send as much as was taken. */
  #take(): void {
    if (this.#untaken === 0) return
    const bytes = this.#untaken
    this.#untaken = 0
    this.#connection.taken(this, bytes)
  }

  /** Sends 100 Continue, once the head is accepted (RFC 9110, section 10.1.1). */
  #invite(): void {
    if (this.head.expectsContinue && this.#isRemoteOpen && this.#state === OPEN)
      this.#connection.sendFields(this, CONTINUE, false)
  }
}
