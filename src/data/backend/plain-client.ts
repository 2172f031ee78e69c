/**
 * Our own HTTP/1.1 client over node:net for the plain case: http, and a request without a body or with a whole one. undici
 * sends everything else. docs/decisions/0012-a-client-of-our-own.md has the reason.
 */
import { isIP } from 'node:net'
import type { RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Awaitable } from '../../lib/deferred.ts'
import { timer, type Wheel } from '../../lib/wheel.ts'
import { forbidden } from './checked-lookup.ts'
import { type BackendRequest, type BackendResponse, type ClientOptions, REST_MS } from './exchange.ts'
import { type ConnectionOwner, type OriginAddress, PlainConnection } from './plain-connection.ts'
import { Transfer } from './transfer.ts'

/** The most requests that wait for a connection to one backend; further ones are refused. */
const MAX_WAITING = 1024

export class PlainClient {
  #options: ClientOptions
  readonly #wheel: Wheel
  readonly #origins = new Map<string, OriginPool>()
  /** From a backend's URL to its origin and the path before every target. */
  readonly #destinations = new Map<string, { readonly origin: OriginPool; readonly prefix: string }>()

  constructor(options: ClientOptions, wheel: Wheel) {
    this.#options = options
    this.#wheel = wheel
  }

  /** Applies new options to new connections; open ones finish their exchanges and are closed. */
  configure(options: ClientOptions): void {
    this.#options = options
    for (const origin of this.#origins.values()) origin.retire()
    this.#origins.clear()
    this.#destinations.clear()
  }

  /** Whether this client can send the request. */
  takes({ url, body }: BackendRequest): boolean {
    return url.startsWith('http://') && (body === undefined || body instanceof Uint8Array)
  }

  /** Sends one request with these fields; settles with the head of the answer. Fails with a GatewayError only. */
  send(request: BackendRequest, headers: RawPairs): Awaitable<BackendResponse> {
    const { origin, prefix } = this.#destinations.get(request.url) ?? this.#destination(request.url)
    const { idleTimeoutMs: bodyTimeoutMs = this.#options.bodyTimeoutMs } = request
    const transfer = new Transfer({ request, headers, prefix, wheel: this.#wheel, bodyTimeoutMs })
    if (!transfer.isOver) origin.take(transfer)
    return transfer
  }

  /** Closes the connections to an origin that is no longer used; running exchanges finish. */
  forget(url: string): void {
    const destination = this.#destinations.get(url)
    if (!destination) return
    for (const [known, { origin }] of this.#destinations)
      if (origin === destination.origin) this.#destinations.delete(known)
    this.#origins.delete(originOf(url))
    destination.origin.retire()
  }

  close(): void {
    for (const origin of this.#origins.values()) origin.close()
    this.#origins.clear()
    this.#destinations.clear()
  }

  #destination(url: string): { readonly origin: OriginPool; readonly prefix: string } {
    const key = originOf(url)
    let origin = this.#origins.get(key)
    if (!origin) {
      const { hostname, port, host } = new URL(key)
      const destination = {
        host: hostname.replace(/^\[|\]$/g, ''),
        port: Number(port || 80),
        authority: host,
      }
      origin = new OriginPool(destination, this.#options, this.#wheel)
      this.#origins.set(key, origin)
    }
    const resolved = { origin, prefix: url.slice(key.length) }
    this.#destinations.set(url, resolved)
    return resolved
  }
}

function originOf(url: string): string {
  const slash = url.indexOf('/', url.indexOf('//') + 2)
  return slash < 0 ? url : url.slice(0, slash)
}

/** The connections to one origin, and the requests that wait for them. */
class OriginPool implements ConnectionOwner {
  readonly #destination: OriginAddress
  readonly #options: ClientOptions
  readonly #wheel: Wheel
  readonly #connections = new Set<PlainConnection>()
  /** A stack: the connection used last is used next, so that the others may grow idle and close. */
  readonly #idle: PlainConnection[] = []
  #waiting: Transfer[] = []
  #opening = 0
  #retired = false

  constructor(destination: OriginAddress, options: ClientOptions, wheel: Wheel) {
    this.#destination = destination
    this.#options = options
    this.#wheel = wheel
  }

  take(transfer: Transfer): void {
    const idle = this.#usable(transfer.now)
    if (idle) return this.#start(idle, transfer)
    // Requests whose callers have left stay in the queue until it is full or they reach its head.
    if (this.#waiting.length >= MAX_WAITING) this.#waiting = this.#waiting.filter((one) => !one.isOver)
    if (this.#waiting.length >= MAX_WAITING) {
      const what = `${MAX_WAITING} requests wait for a connection to the backend already`
      const detail = { backend: this.#destination.authority, unsent: true }
      return transfer.break(new GatewayError('overloaded', what, detail))
    }
    this.#waiting.push(transfer)
    this.#open()
  }

  connected(connection: PlainConnection): void {
    this.#opening--
    this.free(connection)
  }

  free(connection: PlainConnection): void {
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift())
      if (!next.isOver) return this.#start(connection, next)
    if (this.#retired) connection.destroy()
    else this.#idle.push(connection)
  }

  rest(connection: PlainConnection): void {
    const wake = timer(() => {
      if (connection.isFreeAt(performance.now())) this.free(connection)
      else connection.destroy()
    })
    this.#wheel.arm(wake, REST_MS)
    // Those who wait would have had this one.
    this.#open()
  }

  gone(connection: PlainConnection, error: GatewayError | undefined): void {
    this.#connections.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
    if (error) {
      this.#opening--
      this.#next()?.break(error)
    }
    this.#open()
  }

  /** Lets running and waiting requests finish, then closes all connections. */
  retire(): void {
    this.#retired = true
    for (const connection of [...this.#idle]) connection.destroy()
  }

  close(): void {
    this.#retired = true
    for (let next = this.#next(); next; next = this.#next())
      next.break(new GatewayError('draining', 'the gateway is going down', { unsent: true }))
    for (const connection of this.#connections) connection.destroy()
  }

  #next(): Transfer | undefined {
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) if (!next.isOver) return next
    return undefined
  }

  #usable(now = performance.now()): PlainConnection | undefined {
    for (let last = this.#idle.pop(); last; last = this.#idle.pop()) {
      if (last.isFreeAt(now)) return last
      last.destroy()
    }
    return undefined
  }

  #start(connection: PlainConnection, transfer: Transfer): void {
    try {
      connection.start(transfer)
    } catch (error) {
      transfer.break(error as GatewayError)
      this.free(connection)
    }
  }

  /** Opens a connection for a waiting request, where one more is allowed. */
  #open(): void {
    if (this.#waiting.length <= this.#opening || this.#connections.size >= this.#options.connections) return
    // A literal address is never resolved, so it is checked here.
    const { host, port } = this.#destination
    const refused = isIP(host) ? this.#options.refuse(host, port) : undefined
    if (refused !== undefined) {
      this.#next()?.break(forbidden(refused))
      return
    }
    this.#opening++
    this.#connections.add(new PlainConnection(this.#destination, this.#options, this))
  }
}
