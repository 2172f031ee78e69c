/**
 * The client for backends: our own for plain requests, undici for other requests over HTTP/1.1, node:http2 for gRPC. The
 * latter two are loaded with the first request that needs them, so a gateway in front of plain HTTP starts without them.
 */
import { type BackendCredential, WITHHELD } from '../../core/backend-credential.ts'
import type { RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { systemClock } from '../../lib/clock.ts'
import { type Awaitable, after } from '../../lib/deferred.ts'
import { Wheel } from '../../lib/wheel.ts'
import { Authorization } from './authorization.ts'
import type { BackendRequest, BackendResponse, ClientOptions } from './exchange.ts'
import type { Http2Client } from './http2-client.ts'
import { PlainClient } from './plain-client.ts'
import type { UndiciClient } from './undici-client.ts'

export type { BackendRequest, BackendResponse, ClientOptions } from './exchange.ts'

export class Clients {
  #options: ClientOptions
  readonly #plain: PlainClient | undefined
  readonly #undici: LoadedOnDemand<UndiciClient>
  readonly #http2: LoadedOnDemand<Http2Client>
  #authorization: Authorization | undefined

  /** `wheel`: the timer wheel of our own client, which then takes plain requests; without it undici takes all. */
  constructor(options: ClientOptions, wheel?: Wheel) {
    this.#options = options
    this.#plain = wheel && new PlainClient(options, wheel)
    this.#undici = new LoadedOnDemand(async () => {
      const { UndiciClient } = await import('./undici-client.ts')
      return new UndiciClient(this.#options)
    })
    this.#http2 = new LoadedOnDemand(async () => {
      const { Http2Client } = await import('./http2-client.ts')
      return new Http2Client(this.#options, wheel ?? new Wheel(systemClock))
    })
  }

  /** Applies new options to new connections; open ones finish their exchanges and are closed. */
  configure(options: ClientOptions): void {
    this.#options = options
    this.#plain?.configure(options)
    void this.#undici.begun?.then((client) => client.configure(options))
    void this.#http2.begun?.then((client) => client.configure(options))
  }

  /** The credential that all further requests carry; undefined: none. */
  authorize(credential: BackendCredential | undefined): void {
    this.#authorization = credential && new Authorization(credential)
  }

  /** Sends one request; settles with the head of the answer. Fails with a GatewayError only. */
  send(request: BackendRequest): Awaitable<BackendResponse> {
    if (!this.#authorization) return this.#send(request, request.headers)
    const headers = this.#authorization.headers(request)
    return headers ? this.#send(request, headers) : Promise.reject(withheld())
  }

  #send(request: BackendRequest, headers: RawPairs): Awaitable<BackendResponse> {
    if (request.transport === 'grpc') {
      const { ready } = this.#http2
      return ready
        ? ready.send(request, headers)
        : after(this.#http2.load(), (it) => it.send(request, headers))
    }
    if (this.#plain?.takes(request)) return this.#plain.send(request, headers)
    return after(this.#undici.load(), (client) => client.send(request, headers))
  }

  /** Closes the connections to an origin that is no longer used; running exchanges finish. */
  async forget(url: string): Promise<void> {
    this.#plain?.forget(url)
    await (await this.#undici.begun)?.forget(url)
    await this.#http2.begun?.then((client) => client.forget(url))
  }

  async close(): Promise<void> {
    this.#plain?.close()
    await (await this.#undici.begun)?.close()
    await this.#http2.begun?.then((client) => client.close())
  }
}

/** A client that is loaded when it is first needed. */
class LoadedOnDemand<T> {
  readonly #load: () => Promise<T>
  /** Set once it is being loaded. */
  begun: Promise<T> | undefined
  /** Set once it is loaded. */
  ready: T | undefined

  constructor(load: () => Promise<T>) {
    this.#load = load
  }

  load(): Promise<T> {
    this.begun ??= this.#load().then((loaded) => (this.ready = loaded))
    return this.begun
  }
}

function withheld(): GatewayError {
  return new GatewayError('backendForbidden', WITHHELD, { unsent: true })
}
