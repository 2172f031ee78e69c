/**
 * One call of the HTTP/2 client: a stream of a connection, or of another one where the first was closed before the backend took the
 * call. An answer that has arrived as a whole by the end of the turn in which its head came is given as bytes; any other streams.
 */
import { isWhole, type RawPairs } from '../../core/call.ts'
import type { GatewayError } from '../../core/errors.ts'
import { REQUEST_ID } from '../../core/request-id.ts'
import { WriteBatcher } from '../../lib/write-batcher.ts'
import type { Http2ClientConnection } from './http2-connection.ts'
import { type Http2ReplyHead, requestFields } from './http2-fields.ts'
import type { AnswerListener, Http2ClientStream } from './http2-stream.ts'
import type { Incoming } from './incoming.ts'
import { type ExchangeParts, PendingExchange } from './pending-exchange.ts'

/** Looks at the end of a turn at the answers whose heads came in it. */
const ARRIVED = new WriteBatcher()

/** How often a request is sent again because each connection was closed before the backend took it. */
const MAX_REPEATS = 5

const NOTHING = new Uint8Array(0)

/** The owner of exchanges. */
export interface ExchangeOwner {
  /** Sends the exchange over one of its connections. */
  take(exchange: Http2Exchange): void
}

export class Http2Exchange extends PendingExchange implements AnswerListener {
  readonly #owner: ExchangeOwner
  #connection: Http2ClientConnection | undefined
  #stream: Http2ClientStream | undefined
  /** The head of an answer that was not given yet, and what has come of its body. */
  #head: Http2ReplyHead | undefined
  #pieces: Uint8Array[] = []
  #body: Incoming | undefined
  #isUploading = false
  #repeats = 0
  /** Of the connection, when the request was sent. */
  #arrivals = 0

  constructor(parts: ExchangeParts, owner: ExchangeOwner) {
    super(parts)
    this.#owner = owner
  }

  /** Sends the request as a stream of the connection. Throws `badRequest` where HTTP does not allow its head. */
  start(connection: Http2ClientConnection): void {
    const { method, target, host, body, requestId } = this.request
    const { scheme, authority } = connection.address
    const to = { method, scheme, authority: host ?? authority, path: this.prefix + target }
    const repeated = requestFields(to, this.headers)
    const fields = requestId === undefined ? repeated : [...repeated, REQUEST_ID, requestId]
    const isEnded = body === undefined || (body instanceof Uint8Array && body.length === 0)
    const stream = connection.request({ fields, isEnded, isBodiless: method === 'HEAD' }, this)
    this.request.sent?.()
    this.#connection = connection
    this.#stream = stream
    this.#arrivals = connection.watch.arrivals
    if (body instanceof Uint8Array) stream.end(body)
    else if (body) void this.#upload(body, stream)
  }

  /** Called at the end of the turn in which the head came: what is not complete now streams. */
  flush(): void {
    if (!this.#head || this.isOver || this.#body) return
    const body = this.respond(this.#head)
    this.#body = body
    for (const piece of this.#pieces) body.push(piece)
    this.#pieces = []
  }

  responded(head: Http2ReplyHead): void {
    if (this.isOver) return
    this.#head = head
    ARRIVED.add(this)
  }

  arrived(piece: Uint8Array): void {
    if (this.isOver) return
    if (!this.#body) this.#pieces.push(piece)
    else {
      this.received()
      this.#body.push(piece)
    }
  }

  ended(trailers: RawPairs): void {
    if (this.#body) this.#body.end(trailers)
    else if (!this.isOver && this.#head) this.#whole(this.#head, trailers)
  }

  broken(fault: GatewayError): void {
    this.break(fault, fault.detail.unsent === true)
  }

  ignored(fault: GatewayError): void {
    const isRepeated = !this.#head && this.#repeats < MAX_REPEATS && isWhole(this.request.body ?? NOTHING)
    if (!isRepeated || this.isOver) return this.broken(fault)
    this.#repeats++
    this.#stream = undefined
    this.#owner.take(this)
  }

  protected get isSent(): boolean {
    return this.#stream !== undefined
  }

  protected override get isUploading(): boolean {
    return this.#isUploading
  }

  protected hold(): void {
    this.#stream?.hold()
  }

  protected proceed(): void {
    this.#stream?.proceed()
  }

  protected cut(): void {
    this.#stream?.cancel()
  }

  protected override late(): void {
    this.#connection?.watch.doubt(this.#arrivals)
  }

  /** Sends a body in pieces, as fast as the backend takes them. */
  async #upload(body: AsyncIterable<Uint8Array>, stream: Http2ClientStream): Promise<void> {
    this.#isUploading = !isWhole(this.request.body ?? NOTHING)
    try {
      for await (const piece of body) {
        if (stream.isClosed || this.isOver) return
        if (!stream.write(piece)) await stream.drained()
      }
      stream.end()
      this.#isUploading = false
      this.received()
    } catch (error) {
      this.abort(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #whole({ status, headers, notes }: Http2ReplyHead, trailers: RawPairs): void {
    this.stop()
    const body = joined(this.#pieces)
    this.settle({
      reply: { status, headers, body, notes, ...(trailers.length > 0 && { trailers: () => trailers }) },
      over: undefined,
      at: performance.now(),
    })
  }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces)
}
