/**
 * The HTTP client for backends: our own client for plain requests, undici for the rest. undici is loaded with the first
 * request that needs it, so a gateway in front of plain HTTP starts without it.
 */
import { type BackendCredential, WITHHELD } from '../../core/backend-credential.ts'
import type { RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Awaitable } from '../../lib/deferred.ts'
import type { Wheel } from '../../lib/wheel.ts'
import { Authorization } from './authorization.ts'
import type { BackendRequest, BackendResponse, ClientOptions } from './exchange.ts'
import { PlainClient } from './plain-client.ts'
import type { UndiciClient } from './undici-client.ts'

export type { BackendRequest, BackendResponse, ClientOptions } from './exchange.ts'

export class Clients {
  #options: ClientOptions
  readonly #plain: PlainClient | undefined
  #other: Promise<UndiciClient> | undefined
  #authorization: Authorization | undefined

  /** `wheel`: the timer wheel of our own client, which then takes plain requests; without it undici takes all. */
  constructor(options: ClientOptions, wheel?: Wheel) {
    this.#options = options
    this.#plain = wheel && new PlainClient(options, wheel)
  }

  /** Applies new options to new connections; open ones finish their exchanges and are closed. */
  configure(options: ClientOptions): void {
    this.#options = options
    this.#plain?.configure(options)
    void this.#other?.then((client) => client.configure(options))
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
    if (this.#plain?.takes(request)) return this.#plain.send(request, headers)
    this.#other ??= this.#load()
    return this.#other.then((client) => client.send(request, headers))
  }

  /** Closes the connections to an origin that is no longer used; running exchanges finish. */
  async forget(url: string): Promise<void> {
    this.#plain?.forget(url)
    await (await this.#other)?.forget(url)
  }

  async close(): Promise<void> {
    this.#plain?.close()
    await (await this.#other)?.close()
  }

  async #load(): Promise<UndiciClient> {
    const { UndiciClient } = await import('./undici-client.ts')
    return new UndiciClient(this.#options)
  }
}

function withheld(): GatewayError {
  return new GatewayError('backendForbidden', WITHHELD, { unsent: true })
}
