/**
 * One connection of the HTTP/2 client: its streams are counted against the limit that the backend states, pings find out
 * whether a silent backend is still there, and one that nobody uses is closed.
 */
import http2, { type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { GatewayError } from '../../core/errors.ts'
import { openHttp2Socket } from '../../lib/tls/http2-socket.ts'
import { timer, type Wheel } from '../../lib/wheel.ts'
import { checkedLookup } from './checked-lookup.ts'
import type { ClientOptions } from './exchange.ts'
import { type ConnectionEnd, connectionFault } from './http2-errors.ts'
import type { OriginAddress } from './origins.ts'
import { MAX_HEAD_BYTES } from './reply-head.ts'

/** The owner of a connection. */
export interface Http2ConnectionOwner {
  /** The connection has room for another stream: for the first time, or again. */
  free(connection: Http2ClientConnection): void
  /** The connection takes no more streams; those it has go on. */
  closing(connection: Http2ClientConnection): void
  /** The connection is closed; with the error only where it was never established. */
  gone(connection: Http2ClientConnection, error: GatewayError | undefined): void
}

/** How a connection is watched. */
export interface Watch {
  /** Time between two looks at the connection. */
  readonly lookMs: number
  /** Looks at a connection without streams before it is closed. */
  readonly idleLooks: number
  /** Longest wait for the answer to a ping. */
  readonly pingMs: number
}

/** Load balancers drop connections that are idle for longer than a minute. */
export const WATCH: Watch = { lookMs: 20_000, idleLooks: 2, pingMs: 20_000 }

/**
 * Servers of gRPC end a connection with more than two pings, five minutes apart or less, to which they sent nothing in
 * between (grpc/proposal A8); the first is free.
 */
const FREE_PINGS = 3
const RARE_PING_MS = 310_000

/** What one answer may hold before its reader takes it. */
const STREAM_WINDOW_BYTES = 256 * 1024
const CONNECTION_WINDOW_BYTES = 4 * 1024 * 1024
const SESSION = {
  settings: {
    enablePush: false,
    initialWindowSize: STREAM_WINDOW_BYTES,
    maxHeaderListSize: MAX_HEAD_BYTES,
  },
  // Fields that a caller repeats are the backend's to judge.
  strictSingleValueFields: false,
}
/** A stream without an id was never sent. */
const MAX_STREAM_ID = 2 ** 31 - 1
/** A connection has 2^30 stream ids (RFC 9113, section 5.1.1). */
const MAX_STREAMS = 2 ** 30 - 1024

export class Http2ClientConnection {
  readonly address: OriginAddress
  readonly #owner: Http2ConnectionOwner
  readonly #watch: Watch
  readonly #wheel: Wheel
  readonly #socket: Socket
  readonly #timer = timer(() => this.#look())
  readonly #silent = timer(() => this.destroy(new Error('no answer to a ping')))
  #session: ClientHttp2Session | undefined
  /** Its settings have come. */
  #isOpen = false
  #isClosing = false
  #error: Error | undefined
  #goaway: number | undefined
  /** The most streams at a time, as the backend says. */
  #limit = 0
  #running = 0
  /** How many streams were begun; and how many at the last look. */
  #started = 0
  #startedSeen = 0
  /** Above it the backend has not looked at streams. */
  #lastStreamId = MAX_STREAM_ID
  /** How often something of an answer has arrived; and how often at the last look. */
  #arrivals = 0
  #arrivalsSeen = 0
  #idleLooks = 0
  #isDoubted = false
  /** Pings since something of an answer has arrived, and when the last one was sent. */
  #pings = 0
  #pingedAt = 0

  constructor(
    address: OriginAddress,
    options: ClientOptions,
    { owner, wheel, watch }: { owner: Http2ConnectionOwner; wheel: Wheel; watch: Watch },
  ) {
    this.address = address
    this.#owner = owner
    this.#wheel = wheel
    this.#watch = watch
    const { scheme, host, port } = address
    const lookup = checkedLookup(options.refuse, port)
    const to = { isSecure: scheme === 'https', host, port, lookup, tls: options.tls }
    this.#socket = openHttp2Socket(to, (isHttp2) => this.#connected(isHttp2))
    this.#socket.on('error', (error) => (this.#error ??= error))
    this.#socket.once('close', () => this.#closed())
    wheel.arm(this.#timer, options.connectTimeoutMs)
  }

  /** Whether it can take another stream now. */
  get isFree(): boolean {
    const { destroyed = true, closed } = this.#session ?? {}
    return this.#running < this.#limit && !this.#isClosing && !this.#isDoubted && !destroyed && !closed
  }

  /** A ping is not answered yet, so it gets no more streams. */
  get isDoubted(): boolean {
    return this.#isDoubted
  }

  /** The most streams at a time, as the backend says. */
  get limit(): number {
    return this.#limit
  }

  /** Grows whenever something of an answer arrives. */
  get arrivals(): number {
    return this.#arrivals
  }

  /** Undefined: it has not ended. */
  get end(): ConnectionEnd | undefined {
    const isOver = this.#session?.destroyed ?? this.#socket.destroyed
    return isOver ? { error: this.#error, goaway: this.#goaway } : undefined
  }

  /** Whether the backend has said that it has not looked at this stream, and never will. */
  ignores({ id = Number.POSITIVE_INFINITY }: ClientHttp2Stream): boolean {
    return id > this.#lastStreamId
  }

  /** Begins a stream; to be followed by `release` when it is closed. `fields`: as node:http2 takes them. */
  request(fields: string[], endStream: boolean): ClientHttp2Stream {
    const stream = (this.#session as ClientHttp2Session).request(fields, { endStream })
    this.#running++
    if (++this.#started >= MAX_STREAMS) this.close()
    return stream
  }

  /** A stream is closed. */
  release(): void {
    this.#running--
    if (this.isFree) this.#owner.free(this)
  }

  /** Something of an answer has arrived. */
  heard(): void {
    this.#arrivals++
    this.#pings = 0
  }

  /** An answer is late. Where none has arrived since there were `arrivals`, a ping must be answered before it gets another stream. */
  doubt(arrivals: number): void {
    if (this.#arrivals === arrivals) this.#ping()
  }

  /** Takes no more streams, and closes when those it has are over. */
  close(): void {
    if (!this.#isOpen) return this.destroy()
    this.#stopTaking()
    this.#session?.close()
  }

  /** Ends all streams. */
  destroy(error?: Error): void {
    this.#error ??= error
    this.#session?.destroy()
    this.#socket.destroy()
  }

  #connected(isHttp2: boolean): void {
    const { scheme, authority } = this.address
    const socket = this.#socket
    if (!isHttp2) return this.destroy(notNegotiated(authority))
    const session = http2.connect(`${scheme}://${authority}`, {
      ...SESSION,
      createConnection: () => socket,
    })
    this.#session = session
    session.on('connect', () => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES))
    session.on('remoteSettings', ({ maxConcurrentStreams = Number.POSITIVE_INFINITY }) =>
      this.#limited(maxConcurrentStreams),
    )
    session.on('goaway', (code, lastStreamId) => {
      this.#goaway = code
      this.#lastStreamId = Math.min(this.#lastStreamId, lastStreamId)
      this.#stopTaking()
    })
    session.on('error', (error) => (this.#error ??= error))
    session.on('close', () => socket.destroy())
  }

  /** The settings of the backend have come. The first say that it speaks HTTP/2. */
  #limited(streams: number): void {
    this.#limit = streams
    if (!this.#isOpen) {
      this.#isOpen = true
      this.#wheel.disarm(this.#timer)
      this.#wheel.arm(this.#timer, this.#watch.lookMs)
    }
    this.#owner.free(this)
  }

  #stopTaking(): void {
    if (this.#isClosing) return
    this.#isClosing = true
    if (this.#isOpen) this.#owner.closing(this)
  }

  #closed(): void {
    this.#stopTaking()
    this.#wheel.disarm(this.#timer)
    this.#wheel.disarm(this.#silent)
    const { authority } = this.address
    this.#owner.gone(this, this.#isOpen ? undefined : connectionFault(this.#error, authority))
  }

  /** Called from time to time; the first time, when it should long have been open. */
  #look(): void {
    const { lookMs, idleLooks } = this.#watch
    if (!this.#isOpen) return this.destroy(connectTimeout(this.address.authority))
    this.#wheel.arm(this.#timer, lookMs)
    if (this.#running > 0) {
      this.#idleLooks = 0
      if (this.#arrivals === this.#arrivalsSeen) this.#ping()
      this.#arrivalsSeen = this.#arrivals
      return
    }
    // A backend that has said goodbye may never close its end.
    if (this.#isClosing) return this.destroy()
    this.#idleLooks = this.#started === this.#startedSeen ? this.#idleLooks + 1 : 0
    this.#startedSeen = this.#started
    if (this.#idleLooks >= idleLooks) this.close()
  }

  /** Asks the backend whether it is there, unless it was asked as often as servers bear. */
  #ping(): void {
    const now = this.#wheel.now()
    if (this.#isDoubted || (this.#pings >= FREE_PINGS && now - this.#pingedAt < RARE_PING_MS)) return
    this.#pings++
    this.#pingedAt = now
    this.#isDoubted = true
    this.#wheel.arm(this.#silent, this.#watch.pingMs)
    this.#session?.ping((error) => {
      if (error) return
      this.#wheel.disarm(this.#silent)
      this.#isDoubted = false
      if (this.isFree) this.#owner.free(this)
    })
  }
}

function connectTimeout(backend: string): GatewayError {
  const message = 'the backend did not accept a connection in time'
  return new GatewayError('backendRefused', message, { backend, unsent: true })
}

function notNegotiated(backend: string): GatewayError {
  const message = 'the backend does not speak HTTP/2 over TLS (ALPN)'
  return new GatewayError('backendTls', message, { backend, unsent: true })
}
