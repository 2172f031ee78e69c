/**
 * The client for backends: our own for plain requests and for gRPC, undici for other requests over HTTP/1.1. That is loaded
 * with the first request that needs it, so a gateway in front of plain HTTP starts without it.
 */
import { type BackendCredential, WITHHELD } from '../../core/backend-credential.ts'
import type { RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { systemClock } from '../../lib/clock.ts'
import { type Awaitable, after } from '../../lib/deferred.ts'
import { Wheel } from '../../lib/wheel.ts'
import { Authorization } from './authorization.ts'
import type { BackendRequest, BackendResponse, ClientOptions } from './exchange.ts'
import { Http2Client } from './http2-client.ts'
import { PlainClient } from './plain-client.ts'
import type { UndiciClient } from './undici-client.ts'

export type { BackendRequest, BackendResponse, ClientOptions } from './exchange.ts'

export class Clients {
  #options: ClientOptions
  readonly #plain: PlainClient | undefined
  readonly #undici: LoadedOnDemand<UndiciClient>
  readonly #wheel: Wheel
  /** Set once it was needed. */
  #http2: Http2Client | undefined
  #authorization: Authorization | undefined

  /** `wheel`: the timer wheel of our own client, which then takes plain requests; without it undici takes all over HTTP/1.1. */
  constructor(options: ClientOptions, wheel?: Wheel) {
    this.#options = options
    this.#plain = wheel && new PlainClient(options, wheel)
    this.#wheel = wheel ?? new Wheel(systemClock)
    this.#undici = new LoadedOnDemand(async () => {
      const { UndiciClient } = await import('./undici-client.ts')
      return new UndiciClient(this.#options)
    })
  }

  /** Applies new options to new connections; open ones finish their exchanges and are closed. */
  configure(options: ClientOptions): void {
    this.#options = options
    this.#plain?.configure(options)
    void this.#undici.begun?.then((client) => client.configure(options))
    this.#http2?.configure(options)
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
      this.#http2 ??= new Http2Client(this.#options, this.#wheel)
      return this.#http2.send(request, headers)
    }
    if (this.#plain?.takes(request)) return this.#plain.send(request, headers)
    return after(this.#undici.load(), (client) => client.send(request, headers))
  }

  /** Closes the connections to an origin that is no longer used; running exchanges finish. */
  async forget(url: string): Promise<void> {
    this.#plain?.forget(url)
    this.#http2?.forget(url)
    await (await this.#undici.begun)?.forget(url)
  }

  async close(): Promise<void> {
    this.#plain?.close()
    this.#http2?.close()
    await (await this.#undici.begun)?.close()
  }
}

/** A client that is loaded when it is first needed. */
class LoadedOnDemand<T> {
  readonly #load: () => Promise<T>
  /** Set once it is being loaded. */
  begun: Promise<T> | undefined

  constructor(load: () => Promise<T>) {
    this.#load = load
  }

  load(): Promise<T> {
    this.begun ??= this.#load()
    return this.begun
  }
}

function withheld(): GatewayError {
  return new GatewayError('backendForbidden', WITHHELD, { unsent: true })
}
