/**
 * The client for backends that are called over HTTP/2, in cleartext by prior knowledge and over TLS by ALPN: the calls of
 * gRPC. To each origin it holds as many connections as its calls need, and prefers the oldest, so that the others may go.
 * docs/decisions/0022-an-http2-client-of-our-own.md has the reasons.
 */
import { isIP } from 'node:net'
import type { RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Awaitable } from '../../lib/deferred.ts'
import { timer, type Wheel } from '../../lib/wheel.ts'
import { forbidden } from './checked-lookup.ts'
import type { BackendRequest, BackendResponse, ClientOptions } from './exchange.ts'
import { Http2ClientConnection, type Http2ConnectionOwner } from './http2-connection.ts'
import { type ExchangeOwner, Http2Exchange } from './http2-exchange.ts'
import { WATCH, type WatchOptions } from './http2-watch.ts'
import { type OriginAddress, type OriginConnections, Origins } from './origins.ts'

/** The most connections to one origin: a bound for one that allows few streams on each, or that leaves each with calls that run on. */
const MAX_CONNECTIONS = 256
/** How long no connection is opened behind one that took nothing, or that could not be opened while there are others. */
const PAUSE_MS = 100
/** The most requests that wait for a stream of one origin; further ones are refused. */
const MAX_WAITING = 8192

export class Http2Client {
  #options: ClientOptions
  readonly #wheel: Wheel
  readonly #origins: Origins<Http2Origin>

  constructor(options: ClientOptions, wheel: Wheel, watch: WatchOptions = WATCH) {
    this.#options = options
    this.#wheel = wheel
    this.#origins = new Origins((address) => new Http2Origin(address, this.#options, { wheel, watch }))
  }

  /** Applies new options to new connections; open ones finish their exchanges and are closed. */
  configure(options: ClientOptions): void {
    this.#options = options
    this.#origins.retire()
  }

  /** Sends one request with these fields; settles with the head of the answer. Fails with a GatewayError only. */
  send(request: BackendRequest, headers: RawPairs): Awaitable<BackendResponse> {
    const { origin, prefix } = this.#origins.find(request.url)
    const { idleTimeoutMs: bodyTimeoutMs = this.#options.bodyTimeoutMs } = request
    const parts = { request, headers, prefix, wheel: this.#wheel, bodyTimeoutMs }
    const exchange = new Http2Exchange(parts, origin).begin()
    if (!exchange.isOver) origin.take(exchange)
    return exchange
  }

  /** Closes the connections to an origin that is no longer used; running exchanges finish. */
  forget(url: string): void {
    this.#origins.forget(url)
  }

  close(): void {
    this.#origins.close()
  }
}

/** The connections to one origin, and the requests that wait for a stream. */
class Http2Origin implements Http2ConnectionOwner, ExchangeOwner, OriginConnections {
  readonly #address: OriginAddress
  readonly #options: ClientOptions
  readonly #timing: { readonly wheel: Wheel; readonly watch: WatchOptions }
  /** All that are not closed. */
  readonly #connections = new Set<Http2ClientConnection>()
  /** Those that take streams, the oldest first. */
  readonly #open: Http2ClientConnection[] = []
  #waiting: Http2Exchange[] = []
  /** How many streams a connection takes at a time, as the backend said last; undefined: it was not heard yet. */
  #streams: number | undefined
  #opening = 0
  /** Armed behind a connection that took nothing, or that could not be opened while others are. */
  readonly #pause = timer(() => this.#connect())
  #isRetired = false

  constructor(
    address: OriginAddress,
    options: ClientOptions,
    timing: { readonly wheel: Wheel; readonly watch: WatchOptions },
  ) {
    this.#address = address
    this.#options = options
    this.#timing = timing
  }

  take(exchange: Http2Exchange): void {
    for (const connection of this.#open) if (connection.isFree) return start(connection, exchange)
    // Requests whose callers have left stay in the queue until it is full or they reach its head.
    if (this.#waiting.length >= MAX_WAITING) this.#waiting = this.#waiting.filter((one) => !one.isOver)
    if (this.#waiting.length >= MAX_WAITING) {
      const what = `${MAX_WAITING} requests wait for a connection to the backend already`
      const detail = { backend: this.#address.authority, unsent: true }
      return exchange.break(new GatewayError('overloaded', what, detail))
    }
    this.#waiting.push(exchange)
    this.#connect()
  }

  free(connection: Http2ClientConnection): void {
    this.#streams = connection.limit
    if (!this.#open.includes(connection)) {
      this.#opening--
      this.#open.push(connection)
    }
    while (connection.isFree) {
      const next = this.#next()
      if (!next) break
      start(connection, next)
    }
    this.#connect()
    this.#closeRetired()
  }

  closing(connection: Http2ClientConnection): void {
    const at = this.#open.indexOf(connection)
    if (at >= 0) this.#open.splice(at, 1)
    // How many streams the next one takes is known once that is open.
    if (this.#open.length === 0) this.#streams = undefined
    // A backend that takes nothing and leaves would be called again at once, without end.
    if (connection.started === 0) this.#timing.wheel.arm(this.#pause, PAUSE_MS)
    this.#connect()
  }

  gone(connection: Http2ClientConnection, error: GatewayError | undefined): void {
    this.#connections.delete(connection)
    if (!error) return this.#connect()
    this.#opening--
    // Others have streams for those who wait, sooner or later.
    if (this.#opening === 0 && this.#open.every((one) => one.watch.isDoubted)) return this.#breakAll(error)
    this.#timing.wheel.arm(this.#pause, PAUSE_MS)
  }

  retire(): void {
    this.#isRetired = true
    this.#closeRetired()
  }

  close(): void {
    this.#isRetired = true
    this.#timing.wheel.disarm(this.#pause)
    this.#breakAll(new GatewayError('draining', 'the gateway is going down', { unsent: true }))
    for (const connection of this.#connections) connection.destroy()
  }

  #next(): Http2Exchange | undefined {
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) if (!next.isOver) return next
    return undefined
  }

  /** Opens as many connections as those who wait need. How many streams one takes is known once the first is open. */
  #connect(): void {
    const most = this.#options.connections
    const streams = this.#streams ?? Number.POSITIVE_INFINITY
    // The backend takes nothing at present, and will say when it does.
    if (streams === 0 && this.#connections.size > 0) return
    if (this.#pause.due !== Number.POSITIVE_INFINITY) return
    // Those that take no more streams do not count: their calls may run for long.
    while (this.#opening + this.#open.length < most && this.#connections.size < MAX_CONNECTIONS) {
      const expected = this.#opening === 0 ? 0 : this.#opening * streams
      if (this.#waiting.length <= expected) return
      // A literal address is never resolved, so it is checked here.
      const { host, port } = this.#address
      const refused = isIP(host) ? this.#options.refuse(host, port) : undefined
      if (refused !== undefined) return this.#breakAll(forbidden(refused))
      this.#opening++
      const parts = { owner: this, ...this.#timing }
      this.#connections.add(new Http2ClientConnection(this.#address, this.#options, parts))
    }
  }

  #breakAll(error: GatewayError): void {
    for (let next = this.#next(); next; next = this.#next()) next.break(error)
  }

  #closeRetired(): void {
    if (!this.#isRetired || this.#waiting.length > 0) return
    for (const connection of this.#connections) connection.close()
  }
}

function start(connection: Http2ClientConnection, exchange: Http2Exchange): void {
  try {
    exchange.start(connection)
  } catch (error) {
    exchange.break(error as GatewayError)
  }
}
