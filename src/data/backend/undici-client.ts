/**
 * The client for requests that are not plain (https, bodies that stream): one undici pool an origin, opened with the first
 * call and closed when the backend leaves. Only here undici's errors become faults.
 */
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { buildConnector, type Dispatcher, errors, Pool } from 'undici'
import { header, headerAll, isWhole, type RawPairs } from '../../core/call.ts'
import { Chunks } from '../../core/chunks.ts'
import type { GatewayError } from '../../core/errors.ts'
import { readOverContinue } from '../../core/interim.ts'
import { REQUEST_ID } from '../../core/request-id.ts'
import { connectOptions } from '../../lib/tls/connect-options.ts'
import { checkedLookup, forbidden } from './checked-lookup.ts'
import type { BackendRequest, BackendResponse, ClientOptions } from './exchange.ts'
import { Incoming } from './incoming.ts'
import { GarbledError, MAX_HEAD_BYTES, MAX_INTERIM } from './reply-head.ts'
import { tunnelReply } from './tunnel.ts'
import { translate } from './undici-errors.ts'
import { RestingClient, type StatusHandler } from './undici-resting-client.ts'

export class UndiciClient {
  #options: ClientOptions
  readonly #pools = new Map<string, Pool>()

  constructor(options: ClientOptions) {
    this.#options = options
  }

  /** Applies new options to new connections; open ones finish their exchanges and are closed. */
  configure(options: ClientOptions): void {
    this.#options = options
    for (const pool of this.#pools.values()) void pool.close()
    this.#pools.clear()
  }

  /** Sends one request with these fields; resolves with the head of the answer. Rejects with a GatewayError only. */
  send(request: BackendRequest, headers: RawPairs): Promise<BackendResponse> {
    const { origin, prefix } = split(request.url)
    return new Promise((accept, reject) => {
      const handler = new Handler(request, accept, reject)
      try {
        this.#pool(origin).dispatch(
          {
            method: request.method,
            path: prefix + request.target,
            headers: framed(request, headers),
            ...servedBy(origin, request),
            // undici reads any async iterable; its types name only a few of them.
            body: (request.isUpgrade ? null : (request.body ?? null)) as Uint8Array | null,
            upgrade: request.isUpgrade ? 'websocket' : null,
            // The handler's own timer is exact, and is extended when callers with more time join.
            headersTimeout: 0,
            bodyTimeout: this.#idleMs(request),
          },
          handler,
        )
      } catch (error) {
        handler.fail(translate(error, request, true))
      }
    })
  }

  /** No timeout while the request's body streams: silence of its sender would count, and the door watches both directions. */
  #idleMs({ body, idleTimeoutMs }: BackendRequest): number {
    if (body !== undefined && !isWhole(body)) return 0
    return idleTimeoutMs ?? this.#options.bodyTimeoutMs
  }

  /** Closes the connections to an origin that is no longer used; running exchanges finish. */
  async forget(url: string): Promise<void> {
    const { origin } = split(url)
    const pool = this.#pools.get(origin)
    this.#pools.delete(origin)
    await pool?.close()
  }

  async close(): Promise<void> {
    const pools = [...this.#pools.values()]
    this.#pools.clear()
    await Promise.all(pools.map((pool) => pool.destroy()))
  }

  #pool(origin: string): Pool {
    const known = this.#pools.get(origin)
    if (known) return known
    const { connections, connectTimeoutMs, tls, refuse } = this.#options
    const pool = new Pool(origin, {
      connections: Number.isFinite(connections) ? connections : null,
      pipelining: 1,
      allowH2: false,
      maxHeaderSize: MAX_HEAD_BYTES,
      keepAliveTimeout: 30_000,
      factory: (of, clientOptions) => new RestingClient(of, clientOptions),
      connect: connector(
        { timeout: connectTimeoutMs, lookup: checkedLookup(refuse, portOf(origin)), ...connectOptions(tls) },
        tls?.serverName,
      ),
    })
    // A literal address is never resolved, so it is checked here.
    const literal = new URL(origin).hostname.replace(/^\[|\]$/g, '')
    const refused = isIP(literal) ? refuse(literal, portOf(origin)) : undefined
    if (refused) {
      void pool.destroy()
      throw forbidden(refused)
    }
    this.#pools.set(origin, pool)
    return pool
  }
}

function connector(
  options: buildConnector.BuildOptions,
  serverName: string | undefined,
): buildConnector.connector {
  const connect = buildConnector({ ...options, allowH2: false })
  return (to, connected) =>
    connect(serverName === undefined ? to : { ...to, servername: serverName }, (...[error, socket]) => {
      if (error) return connected(error, null)
      readOverContinue(socket)
      connected(null, socket)
    })
}

/** undici's handler for one request: the head resolves its promise, the body goes into an Incoming. */
class Handler implements StatusHandler {
  status = 0
  readonly #request: BackendRequest
  readonly #accept: (exchange: BackendResponse) => void
  readonly #reject: (error: GatewayError) => void
  #body: Incoming | undefined
  #controller: Dispatcher.DispatchController | undefined
  #fault: GatewayError | undefined
  #interim = 0
  #timer: NodeJS.Timeout | undefined
  readonly #abort = () => this.fail(translate(this.#request.signal.reason, this.#request, this.#isUnsent))

  constructor(
    request: BackendRequest,
    accept: (exchange: BackendResponse) => void,
    reject: (error: GatewayError) => void,
  ) {
    this.#request = request
    this.#accept = accept
    this.#reject = reject
    request.signal.addEventListener('abort', this.#abort, { once: true })
    this.#within(request.headTimeoutMs)
    if (request.signal.aborted) this.#abort()
  }

  get #isUnsent(): boolean {
    return this.#controller === undefined
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    this.#request.sent?.()
    if (this.#fault) controller.abort(this.#fault)
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (status < 200) {
      if (status === 101) this.#garbled('unexpected status 101')
      else if (++this.#interim > MAX_INTERIM) this.#garbled(`more than ${MAX_INTERIM} interim answers`)
      return
    }
    clearTimeout(this.#timer)
    this.status = status
    const headers = rawPairs(controller.rawHeaders)
    // undici decodes chunks and passes any other coding on, and the client would not know of that coding.
    if (!headerAll(headers, 'transfer-encoding').every((coding) => coding.toLowerCase() === 'chunked'))
      return this.#garbled('a transfer coding unasked')
    let over: (error: Error | undefined) => void = () => {}
    const done = new Promise<Error | undefined>((settle) => {
      over = settle
    })
    const body = new Incoming(controller, (error) => {
      this.#stop()
      over(error)
    })
    this.#body = body
    this.#accept({ reply: { status, headers, body, trailers: () => body.trailers }, over: done })
  }

  onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    status: number,
    _: unknown,
    socket: Duplex,
  ): void {
    clearTimeout(this.#timer)
    this.status = status
    const raw = rawPairs(controller.rawHeaders)
    if (!/^websocket$/i.test(header(raw, 'upgrade') ?? '')) {
      socket.destroy()
      return this.#garbled('a change to a protocol that nobody asked for')
    }
    const { body, over, reply } = tunnelReply(raw, socket, this.#request.body)
    this.#body = body
    this.#accept({ reply, over })
    void over.then(() => this.#stop())
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#body?.push(chunk)
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    this.#body?.end(rawPairs(controller.rawTrailers))
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.fail(this.#fault ?? translate(error, this.#request, this.#isUnsent))
  }

  #garbled(what: string): void {
    this.fail(translate(new GarbledError(what), this.#request, false))
  }

  /** Ends the exchange. While the request waits for a connection there is nothing to abort, but the caller need not wait. */
  fail(fault: GatewayError): void {
    if (this.#fault) return
    this.#fault = fault
    this.#stop()
    if (this.#body) this.#body.fail(fault)
    else this.#reject(fault)
    this.#controller?.abort(fault)
  }

  /** The timeout of the head, extended when callers with more time have joined. */
  #within(ms: number): void {
    this.#timer = setTimeout(
      () => {
        const left = this.#request.leftMs?.() ?? 0
        if (left > 0) return this.#within(left)
        this.fail(translate(new errors.HeadersTimeoutError(), this.#request, this.#isUnsent))
      },
      Math.min(Math.max(1, ms), MAX_TIMER_MS),
    ).unref()
  }

  #stop(): void {
    clearTimeout(this.#timer)
    this.#request.signal.removeEventListener('abort', this.#abort)
  }
}

const MAX_TIMER_MS = 2 ** 31 - 1

function rawPairs(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  if (!Array.isArray(raw)) return []
  return raw.map((part) => (typeof part === 'string' ? part : part.toString('latin1')))
}

function framed(request: BackendRequest, fields: RawPairs): string[] {
  const headers = [...fields]
  const { body, host, requestId } = request
  if (requestId !== undefined) headers.push(REQUEST_ID, requestId)
  if (host !== undefined) headers.push('host', host)
  const length = body instanceof Chunks ? body.length : request.contentLength
  if (length !== undefined && !(body instanceof Uint8Array)) headers.push('content-length', String(length))
  return headers
}

/** The certificate must be the backend's own, whatever the Host: undici would take the expected name from Host. */
function servedBy(origin: string, { host }: BackendRequest): object {
  return host === undefined ? {} : { servername: new URL(origin).hostname }
}

function split(url: string): { origin: string; prefix: string } {
  const slash = url.indexOf('/', url.indexOf('//') + 2)
  return slash < 0 ? { origin: url, prefix: '' } : { origin: url.slice(0, slash), prefix: url.slice(slash) }
}

function portOf(origin: string): number {
  const { port, protocol } = new URL(origin)
  return port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port)
}
