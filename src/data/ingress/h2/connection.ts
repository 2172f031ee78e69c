/**
 * One HTTP/2 connection: node:http2 does the frames, the compression of heads and the flow control. Each stream becomes an
 * exchange; a request whose head is known to be a hit in process memory is answered without a call, as at the fast door.
 */
import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import { type Timer, timer } from '../../../lib/wheel.ts'
import { clientCertificate } from '../client-certificate.ts'
import { MAX_HELD_BYTES } from '../door/bounds.ts'
import { HttpBody } from '../node-body.ts'
import { CONNECTION_WINDOW, type Http2DoorContext } from './context.ts'
import { Http2Exchange, NO_ERROR, PROTOCOL_ERROR } from './exchange.ts'
import type { Http2Head } from './head.ts'
import type { KnownHeads } from './known-heads.ts'

/** The id of a GOAWAY that ends no stream yet: it asks the client for no more (RFC 9113, section 6.8). */
const NO_MORE = 2 ** 31 - 1
/** Milliseconds within which a client that was asked for no more must have read it. */
const LEAVING_MS = 1000

/** A stream that has arrived, with its pseudo-header fields and fields. */
interface Arrived {
  readonly stream: ServerHttp2Stream
  readonly raw: readonly string[]
  readonly heads: KnownHeads
  readonly head: Http2Head
}

export class Http2Connection {
  readonly #socket: Duplex
  readonly #session: ServerHttp2Session
  readonly #context: Http2DoorContext
  readonly #timer: Timer
  /** Streams that are not closed. */
  readonly #open = new Set<Http2Exchange>()
  /** Those among them whose answers were complete at the last look, and not read. */
  #unread = new Set<Http2Exchange>()
  #peer: string | undefined
  #isRetired = false

  /** `socket` begins with the client's preface. */
  constructor(socket: Duplex, context: Http2DoorContext) {
    this.#socket = socket
    this.#context = context
    this.#timer = timer(() => this.#look())
    context.connections.add(this)
    context.wheel.arm(this.#timer, context.limits.headTimeoutMs)
    this.#session = performServerHandshake(socket, context.options)
      .on('stream', (stream, _headers, _flags, raw) => this.#arrived(stream, raw as unknown as string[]))
      // 'close' follows.
      .on('error', () => {})
      .once('close', () => this.#closed())
    this.#session.setLocalWindowSize(CONNECTION_WINDOW)
  }

  get peer(): string {
    this.#peer ??= (this.#socket as { remoteAddress?: string }).remoteAddress ?? ''
    return this.#peer
  }

  get certificate() {
    return clientCertificate(this.#socket)
  }

  /**
   * Asks the client for no more streams, answers those that it has sent until it has read that, and closes the connection: no call
   * is lost.
   */
  retire(): void {
    if (this.#isRetired || this.#session.destroyed) return
    this.#isRetired = true
    this.#session.goaway(NO_ERROR, NO_MORE)
    // Its answer is behind all that the client sent before it read the GOAWAY.
    this.#session.ping(() => this.#close())
    this.#context.wheel.arm(this.#timer, LEAVING_MS)
  }

  cut(): void {
    this.#session.destroy()
  }

  #arrived(stream: ServerHttp2Stream, raw: readonly string[]): void {
    // 'close' follows.
    stream.on('error', () => {})
    const { known, live } = this.#context
    const heads = known(this).http2Heads
    const head = heads.find(raw)
    if ('malformed' in head) return stream.close(PROTOCOL_ERROR)
    const arrived = { stream, raw, heads, head }
    const mayHit = head.notes.decision?.key !== undefined && head.notes.live === live()
    if (mayHit) this.#tryMemory(arrived)
    else this.#context.serve(this.#exchange({ ...arrived, head: heads.forCall(raw, head) }).exchange)
  }

  #exchange({ stream, head }: Pick<Arrived, 'stream' | 'head'>) {
    const { wheel, limits } = this.#context
    const isCut = () => stream.aborted || stream.rstCode !== NO_ERROR
    const body = new HttpBody(stream, wheel, limits.bodyTimeoutMs, isCut)
    const exchange = new Http2Exchange({ stream, head, body }, this)
    if (this.#open.size === 0 && !this.#isRetired) wheel.arm(this.#timer, limits.keepAliveTimeoutMs)
    this.#open.add(exchange)
    stream.once('close', () => {
      this.#open.delete(exchange)
      exchange.closed()
    })
    return { exchange, body }
  }

  /** Waits for the body, if it is short, and serves the request where process memory has no answer. */
  #tryMemory(arrived: Arrived): void {
    const { stream, raw, heads, head } = arrived
    const { memoryHit, serve } = this.#context
    const { exchange, body } = this.#exchange(arrived)
    const arrive = (pieces: readonly Uint8Array[] | undefined) => {
      if (exchange.isAnswered) return
      const length = pieces?.reduce((sum, piece) => sum + piece.length, 0) ?? 0
      const { method, notes } = head
      if (pieces && memoryHit.answer({ method, notes, length }, pieces, exchange)) return
      exchange.use(heads.forCall(raw, head))
      serve(exchange)
    }
    if (stream.endAfterHeaders) arrive([])
    else body.hold(MAX_HELD_BYTES, arrive)
  }

  /** Looks for what has stalled, and closes the connection if it is idle. */
  #look(): void {
    const { wheel, limits } = this.#context
    if (this.#open.size === 0 || this.#isRetired) this.#close()
    for (const exchange of this.#unread) if (this.#open.has(exchange)) exchange.cancel()
    this.#unread = new Set([...this.#open].filter(({ isAnswered }) => isAnswered))
    wheel.arm(this.#timer, limits.keepAliveTimeoutMs)
  }

  /** Closes the connection behind the streams that are open; at once, if it is to be closed already. */
  #close(): void {
    const { destroyed, closed } = this.#session
    if (!destroyed && !closed) this.#session.close()
    else if (this.#open.size === 0) this.cut()
  }

  #closed(): void {
    const { wheel, connections } = this.#context
    wheel.disarm(this.#timer)
    connections.delete(this)
    this.#socket.destroy()
  }
}
