/**
 * One call of the HTTP/2 client: a stream of a connection, both ways at once. An answer that has arrived as a whole by the end
 * of the turn in which its head came is given as bytes; any other streams.
 */
import { type ClientHttp2Stream, constants } from 'node:http2'
import { isWhole, type RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { WriteBatcher } from '../../lib/write-batcher.ts'
import type { Http2ClientConnection } from './http2-connection.ts'
import { streamFault } from './http2-errors.ts'
import { type Http2ReplyHead, replyFields, replyHead, requestFields } from './http2-fields.ts'
import type { Incoming } from './incoming.ts'
import { type ExchangeParts, PendingExchange } from './pending-exchange.ts'
import { MAX_INTERIM } from './reply-head.ts'

/** Looks at the end of a turn at the answers whose heads came in it. */
const ARRIVED = new WriteBatcher()

/** How often a request is sent again because each connection was closed before the backend took it. */
const MAX_REPEATS = 5

const NOTHING = Buffer.alloc(0)

/** The owner of exchanges. */
export interface ExchangeOwner {
  /** Sends the exchange over one of its connections. */
  take(exchange: Http2Exchange): void
}

export class Http2Exchange extends PendingExchange {
  readonly #owner: ExchangeOwner
  #connection: Http2ClientConnection | undefined
  #stream: ClientHttp2Stream | undefined
  /** The head of an answer that was not given yet, and what has come of its body. */
  #head: Http2ReplyHead | undefined
  #pieces: Uint8Array[] = []
  #body: Incoming | undefined
  #trailers: RawPairs = []
  #interim = 0
  #isUploading = false
  #repeats = 0
  #error: Error | undefined
  /** Of the connection, when the request was sent. */
  #arrivals = 0

  constructor(parts: ExchangeParts, owner: ExchangeOwner) {
    super(parts)
    this.#owner = owner
  }

  /** Sends the request as a stream of the connection. Throws `badRequest` where HTTP does not allow its head. */
  start(connection: Http2ClientConnection): void {
    const { method, target, host, body } = this.request
    const { scheme, authority } = connection.address
    const path = this.prefix + target
    const fields = requestFields({ method, scheme, authority: host ?? authority, path }, this.headers)
    const stream = connection.request(fields, body === undefined)
    this.#connection = connection
    this.#stream = stream
    this.#arrivals = connection.arrivals
    stream.on('response', (_, flags, raw) => this.#responded(flags, raw))
    stream.on('headers', () => this.#interimCame())
    stream.on('data', (piece: Buffer) => this.#arrived(piece))
    stream.on('trailers', (_, __, raw) => {
      this.#trailers = replyFields(raw)
    })
    stream.on('end', () => this.#ended(stream))
    stream.on('error', (error) => (this.#error = error))
    stream.on('close', () => this.#closed(connection, stream))
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

  protected get isSent(): boolean {
    return this.#stream !== undefined
  }

  protected override get isUploading(): boolean {
    return this.#isUploading
  }

  protected hold(): void {
    this.#stream?.pause()
  }

  protected proceed(): void {
    this.#stream?.resume()
  }

  protected cut(): void {
    this.#stream?.close(constants.NGHTTP2_CANCEL)
  }

  protected override late(): void {
    this.#connection?.doubt(this.#arrivals)
  }

  /** Sends a body in pieces, as fast as the backend takes them. */
  async #upload(body: AsyncIterable<Uint8Array>, stream: ClientHttp2Stream): Promise<void> {
    this.#isUploading = !isWhole(this.request.body ?? NOTHING)
    try {
      for await (const piece of body) {
        if (stream.closed || this.isOver) return
        if (!stream.write(piece)) await drained(stream)
      }
      stream.end()
      this.#isUploading = false
      this.received()
    } catch (error) {
      this.abort(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #responded(flags: number, raw: readonly string[]): void {
    this.#connection?.heard()
    if (this.isOver) return
    const head = replyHead(raw)
    this.#head = head
    // What comes is the end of the stream, too: an answer of trailers only, as gRPC calls it.
    if ((flags & constants.NGHTTP2_FLAG_END_STREAM) === 0) ARRIVED.add(this)
  }

  #interimCame(): void {
    if (++this.#interim > MAX_INTERIM) this.#garbled(`more than ${MAX_INTERIM} interim answers`)
  }

  #arrived(piece: Buffer): void {
    this.#connection?.heard()
    if (this.isOver) return
    if (!this.#body) this.#pieces.push(piece)
    else {
      this.received()
      this.#body.push(piece)
    }
  }

  /** The answer is complete, unless the stream was reset: then its close says so. */
  #ended(stream: ClientHttp2Stream): void {
    if (stream.destroyed || stream.rstCode !== constants.NGHTTP2_NO_ERROR || !this.#head) return
    if (this.#body) this.#body.end(this.#trailers)
    else if (!this.isOver) this.#whole(this.#head)
    // Nobody waits for the rest of the request (RFC 9113, section 8.1).
    if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL)
  }

  #whole({ status, headers, notes }: Http2ReplyHead): void {
    this.stop()
    const trailers = this.#trailers
    const body = joined(this.#pieces)
    this.settle({
      reply: { status, headers, body, notes, ...(trailers.length > 0 && { trailers: () => trailers }) },
      over: undefined,
      at: performance.now(),
    })
  }

  #closed(connection: Http2ClientConnection, stream: ClientHttp2Stream): void {
    connection.release()
    if (this.isOver) return
    const isIgnored = connection.ignores(stream)
    if (isIgnored && !this.#head && this.#repeats < MAX_REPEATS && isWhole(this.request.body ?? NOTHING)) {
      this.#repeats++
      this.#stream = undefined
      return this.#owner.take(this)
    }
    const fault = streamFault({
      code: stream.rstCode ?? constants.NGHTTP2_NO_ERROR,
      connection: connection.end,
      error: this.#error,
      isIgnored,
      backend: connection.address.authority,
    })
    this.break(fault, fault.detail.unsent === true)
  }

  #garbled(what: string): void {
    const backend = this.#connection?.address.authority ?? ''
    const message = `the backend answered with broken HTTP/2: ${what}`
    this.abort(new GatewayError('backendGarbled', message, { backend }))
  }
}

/** Bytes with memory of their own: those that came share theirs with other answers. */
function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const [only] = pieces
  if (!only) return NOTHING
  return pieces.length === 1 ? Buffer.from(only) : Buffer.concat(pieces)
}

/** Resolves when the stream takes more, or takes nothing any more. */
function drained(stream: ClientHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      stream.off('drain', settle).off('close', settle)
      resolve()
    }
    stream.on('drain', settle).on('close', settle)
  })
}
