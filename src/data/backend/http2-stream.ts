/**
 * One stream of the HTTP/2 client (RFC 9113, sections 5 and 8.1): the request goes out, and the answer is checked while it
 * comes in. A malformed one resets the stream.
 */
import type { RawPairs } from '../../core/call.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { FlowStream, StreamFlow } from '../../lib/http2/flow.ts'
import { CANCEL, FLOW_CONTROL_ERROR, PROTOCOL_ERROR } from '../../lib/http2/frames.ts'
import { SendingStream } from '../../lib/http2/sending-stream.ts'
import { garbledFault, ignoredFault, resetFault } from './http2-errors.ts'
import { type Http2ReplyHead, replyHead, replyTrailers } from './http2-fields.ts'
import { GarbledError, MAX_INTERIM } from './reply-head.ts'

/** What a stream needs of its connection. */
export interface ClientStreamConnection {
  readonly flow: StreamFlow
  /** Host and port. */
  readonly backend: string
  /** So many bytes of its body were taken, so the backend may send more on it. */
  taken(stream: FlowStream, bytes: number): void
  /** Tells the backend that the stream is over. */
  sendReset(stream: FlowStream, code: number): void
  /** Nothing more is sent or taken. `isCut`: the backend may not know that yet. */
  closed(stream: FlowStream, isCut: boolean): void
}

/** What is told of an answer, in this order; either of the last three is the end. */
export interface AnswerListener {
  responded(head: Http2ReplyHead): void
  /** `piece` has memory of its own. */
  arrived(piece: Uint8Array): void
  ended(trailers: RawPairs): void
  broken(fault: GatewayError): void
  /** The backend has not looked at the request, and says so with this fault. */
  ignored(fault: GatewayError): void
}

export interface Http2Request {
  readonly fields: RawPairs
  /** The fields are all of it. */
  readonly isEnded: boolean
  /** Its answer has a head only. */
  readonly isBodiless: boolean
}

export interface ClientStreamOptions extends Omit<Http2Request, 'fields'> {
  readonly connection: ClientStreamConnection
  readonly listener: AnswerListener
  readonly sendWindow: number
  readonly receiveWindow: number
}

export class Http2ClientStream extends SendingStream {
  readonly #connection: ClientStreamConnection
  readonly #listener: AnswerListener
  readonly #isBodiless: boolean
  /** All of the request was given to the stream; and sent. */
  #isGiven: boolean
  #isSent: boolean
  #isClosed = false
  #head: Http2ReplyHead | undefined
  #interim = 0
  /** Bytes of the body so far. */
  #received = 0
  /** Nobody takes what comes; its bytes. */
  #isHeld = false
  #untaken = 0

  constructor(id: number, options: ClientStreamOptions) {
    const { connection, sendWindow, receiveWindow } = options
    super(id, { flow: connection.flow, sendWindow, receiveWindow })
    this.#connection = connection
    this.#listener = options.listener
    this.#isBodiless = options.isBodiless
    this.#isGiven = this.#isSent = options.isEnded
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  get isReceiving(): boolean {
    return !this.#isClosed
  }

  // The request.

  /** False: `drained` tells when more may be written. */
  write(piece: Uint8Array): boolean {
    return this.#isClosed || piece.length === 0 || this.sendPiece(piece)
  }

  /** The request ends, behind these bytes if any. */
  end(last?: Uint8Array): void {
    if (this.#isClosed || this.#isGiven) return
    this.#isGiven = true
    if (last && last.length > 0) this.sendLast(last)
    else if (!this.isWaiting) this.sent(false)
  }

  /** Nobody waits for the answer any more. */
  cancel(): void {
    this.#cut(CANCEL)
  }

  /** Nothing more is taken until `proceed`. */
  hold(): void {
    this.#isHeld = true
  }

  proceed(): void {
    this.#isHeld = false
    this.#take()
  }

  protected get endsWithData(): boolean {
    return this.#isGiven
  }

  protected sent(isEnded: boolean): void {
    if (!this.#isGiven || this.#isSent) return
    if (!isEnded) this.sendEnd()
    this.#isSent = true
  }

  // The answer, as the connection reads it.

  head(fields: RawPairs, isEnd: boolean): void {
    try {
      if (this.#head) this.#trailers(fields, isEnd)
      else this.#responded(replyHead(fields), isEnd)
    } catch (error) {
      if (!(error instanceof GarbledError)) throw error
      this.garbled(error.message)
    }
  }

  /** `bytes`: of the frame, padding included; they count in the window. */
  data(piece: Uint8Array, bytes: number, isEnd: boolean): void {
    if (bytes > this.receiveWindow) return this.garbled('more than the window allows', FLOW_CONTROL_ERROR)
    this.receiveWindow -= bytes
    this.#received += piece.length
    const head = this.#head
    if (!head) return this.garbled('a body without a head')
    if (this.#received > mostBytes(head, this.#isBodiless))
      return this.garbled('a body longer than was declared')
    this.#untaken += bytes
    if (!this.#isHeld) this.#take()
    // What has come is read into memory that other answers share.
    if (piece.length > 0) this.#listener.arrived(Buffer.from(piece))
    if (isEnd && !this.#isClosed) this.#complete(head, NONE)
  }

  /** The backend has reset the stream. */
  reset(code: number): void {
    this.broken(resetFault(code, this.#isBegun, this.#connection.backend))
  }

  /** The backend has not looked at the stream, as it says. */
  ignored(): void {
    if (this.#isBegun) return this.garbled('it is said to be ignored')
    this.#close(false)
    this.#listener.ignored(ignoredFault(this.#connection.backend))
  }

  broken(fault: GatewayError): void {
    this.#close(false)
    this.#listener.broken(fault)
  }

  /** The answer is malformed. */
  garbled(what: string, code = PROTOCOL_ERROR): void {
    this.#cut(code)
    this.#listener.broken(garbledFault(what, this.#connection.backend))
  }

  /** Something of the answer has come. */
  get #isBegun(): boolean {
    return this.#head !== undefined || this.#interim > 0
  }

  #responded(head: Http2ReplyHead, isEnd: boolean): void {
    if (head.status < 200) return this.#interimCame(head, isEnd)
    this.#head = head
    this.#listener.responded(head)
    // An answer of trailers only, as gRPC calls it.
    if (isEnd && !this.#isClosed) this.#complete(head, NONE)
  }

  #interimCame({ status }: Http2ReplyHead, isEnd: boolean): void {
    // HTTP/2 knows no change of the protocol (RFC 9113, section 8.6).
    if (isEnd || status === 101) throw new GarbledError(`an interim answer ${status} that is none`)
    if (++this.#interim > MAX_INTERIM) throw new GarbledError(`more than ${MAX_INTERIM} interim answers`)
  }

  #trailers(fields: RawPairs, isEnd: boolean): void {
    if (!isEnd) throw new GarbledError('a second head')
    this.#complete(this.#head as Http2ReplyHead, replyTrailers(fields))
  }

  #complete({ length, status }: Http2ReplyHead, trailers: RawPairs): void {
    if (length !== undefined && this.#received !== length && !this.#isBodiless && !hasNoBody(status))
      return this.garbled('a body shorter than was declared')
    // Nobody waits for the rest of the request (RFC 9113, section 8.1).
    if (!this.#isSent) this.#connection.sendReset(this, CANCEL)
    this.#close(false)
    this.#listener.ended(trailers)
  }

  #cut(code: number): void {
    if (this.#isClosed) return
    this.#connection.sendReset(this, code)
    this.#close(true)
  }

  #close(isCut: boolean): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.dropWaiting()
    this.#connection.closed(this, isCut)
  }

  /** Lets the backend send as much as was taken. */
  #take(): void {
    const bytes = this.#untaken
    if (bytes === 0) return
    this.#untaken = 0
    this.#connection.taken(this, bytes)
  }
}

const NONE: RawPairs = []

/** These answers have no body, whatever length they declare (RFC 9110, section 8.6). */
function hasNoBody(status: number): boolean {
  return status === 204 || status === 304
}

function mostBytes(
  { length = Number.POSITIVE_INFINITY, status }: Http2ReplyHead,
  isBodiless: boolean,
): number {
  return isBodiless || hasNoBody(status) ? 0 : length
}
