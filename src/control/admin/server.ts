/**
 * The admin listener: an HTTP server with limits of its own, separate from the data port, so that operators get through
 * when clients flood the gateway. Guard and authentication run before the body is read.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { HostPort } from '../../core/addresses.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import { PROBLEM_TYPE } from '../../core/problem.ts'
import type { Clock } from '../../lib/clock.ts'
import { http } from '../../lib/http.ts'
import { encodeEvent } from '../../lib/sse.ts'
import type { ServerTls } from '../../lib/tls/material.ts'
import { type HandshakeOutcome, TlsTerminator } from '../../lib/tls/terminator.ts'
import { Wheel } from '../../lib/wheel.ts'
import { COMMON_HEADERS, readJson, write } from './answering.ts'
import { audited } from './audit.ts'
import {
  type AdminCaller,
  Auth,
  type Identify,
  listenRefusal,
  mayCall,
  type TokenSettings,
  unknownCaller,
} from './auth.ts'
import { Connections } from './connections.ts'
import type { AdminContext, AdminReply, AdminRoute } from './contract.ts'
import { type EncodedEvent, EVENTS_HEAD, EventHub } from './events.ts'
import { LiveFeed } from './feed.ts'
import { checkAuthorizations, checkHosts, guard } from './guard.ts'
import { type Match, match, targetOf } from './paths.ts'
import { presentEvents, publishPool } from './pool-events.ts'
import { Problem } from './problem.ts'

export interface AdminSettings {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** Undefined: plain HTTP. */
  readonly tls?: ServerTls | undefined
  readonly tokens: readonly TokenSettings[]
  /** `/metrics` needs no token. */
  readonly openMetrics: boolean
  /** Host names besides IP literals and localhost. */
  readonly hosts: readonly string[]
}

export interface AdminOptions extends AdminContext {
  readonly clock: Clock
  readonly log: Log
  readonly settings: AdminSettings
  /** Left out: only tokens count. */
  readonly identify?: Identify
  /** Called at the end of each TLS handshake. */
  readonly handshake?: (outcome: HandshakeOutcome) => void
}

const BODY_BYTES = 64 * 1024
const ANSWER_TIMEOUT_MS = 10_000
const CLOSE_GRACE_MS = 2_000
const LIMITS = {
  headersTimeout: 5_000,
  requestTimeout: 15_000,
  keepAliveTimeout: 5_000,
  maxHeaderSize: 16 * 1024,
  connectionsCheckingInterval: 1_000,
  // Said by `checkHosts`, with a reason.
  requireHostHeader: false,
}
const MAX_CONNECTIONS = 256

export class AdminServer {
  readonly events: EventHub
  readonly #options: AdminOptions
  readonly #feed: LiveFeed | undefined
  readonly #server: Server
  readonly #connections: Connections
  readonly #terminator: TlsTerminator
  readonly #wheel: Wheel
  #settings: AdminSettings
  #auth: Auth
  #unfollow: (() => void) | undefined

  /** Throws an Error with the fix when a token is malformed, or the listener would be open to the network. */
  constructor(options: AdminOptions) {
    this.#options = options
    this.#settings = options.settings
    this.#auth = authOf(options.settings)
    const { clock, log } = options
    this.events = new EventHub({ clock, log, present: () => this.#present() })
    const { live } = options.parts
    const send = this.events.send.bind(this.events)
    this.#feed = live && new LiveFeed({ clock, log, live, send })
    options.parts.followCalls?.((line) => this.events.publish('call', line))
    const serve = (request: IncomingMessage, response: ServerResponse): void => {
      this.#serve(request, response).catch((error: unknown) => this.#failed(request, response, error))
    }
    this.#server = http.createServer(LIMITS, serve)
    // An unknown expectation is ignored (RFC 9110, section 10.1.1).
    this.#server.on('checkExpectation', serve)
    this.#connections = new Connections(this.#server, MAX_CONNECTIONS)
    this.#server.on('clientError', (_, socket) => {
      if (socket.writable) socket.end(noRequest('this is no whole HTTP request, or its head is over 16 KiB'))
      else socket.destroy()
    })
    this.#wheel = new Wheel(clock)
    this.#terminator = new TlsTerminator({
      server: this.#server,
      alpn: ['http/1.1'],
      handshakeTimeoutMs: LIMITS.headersTimeout,
      maxHandshakes: MAX_CONNECTIONS,
      plainAnswer: noRequest('this port speaks HTTPS: begin the URL with https://'),
      wheel: this.#wheel,
      ended: options.handshake ?? (() => {}),
    })
    this.#terminator.use(options.settings.tls)
  }

  /** Opens the listener. Rejects with an Error that names the fix when it cannot. */
  async listen(): Promise<HostPort> {
    const { host, port } = this.#settings
    await new Promise<void>((resolve, reject) => {
      this.#server.on('error', (error: NodeJS.ErrnoException) => reject(listenError(error, { host, port })))
      this.#server.listen({ host, port }, resolve)
    })
    this.#unfollow = this.#options.registry.follow(({ pool }) =>
      publishPool(this.events, this.#options, pool),
    )
    const bound = this.#server.address() as AddressInfo
    return { host: bound.address, port: bound.port }
  }

  /**
   * Applies tokens, hosts and openMetrics. Event streams are closed, so that their clients must reconnect with a valid
   * token.
   */
  update(settings: AdminSettings): void {
    this.#auth = authOf({ ...settings, host: this.#settings.host })
    this.#terminator.use(settings.tls)
    this.#settings = settings
    this.events.close()
  }

  /** Takes over changed certificates for new connections; open ones stay as they are. */
  secure(tls: ServerTls | undefined): void {
    this.#settings = { ...this.#settings, tls }
    this.#terminator.use(tls)
  }

  /** Lets running answers finish for two seconds at most. */
  async close(): Promise<void> {
    this.#unfollow?.()
    this.#feed?.close()
    this.events.close()
    this.#terminator.cut()
    this.#wheel.close()
    if (!this.#server.listening) return
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    const cancel = this.#options.clock.after(CLOSE_GRACE_MS, () => this.#server.closeAllConnections())
    await closed
    cancel()
  }

  /** Tells the followers of the events what happened to a backend, and how its pool is now. */
  backendChanged(event: { readonly pool: string }): void {
    this.events.publish('backend', event)
    publishPool(this.events, this.#options, event.pool)
  }

  #present(): readonly EncodedEvent[] {
    const known = presentEvents(this.#options).map((event) => ({ text: encodeEvent(event) }))
    return [...known, ...(this.#feed?.present() ?? [])]
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => {})
    try {
      const reply = await this.#answer(request, response)
      if (reply) write(request, response, reply)
    } catch (error) {
      this.#refuse(request, response, error)
    }
  }

  /** Undefined where the response is a stream and needs no further answer. */
  async #answer(request: IncomingMessage, response: ServerResponse): Promise<AdminReply | undefined> {
    const method = request.method === 'HEAD' ? 'GET' : (request.method ?? '')
    const url = targetOf(request.url ?? '')
    const { route, params } = match(method, url.path)
    const writes = method !== 'GET'
    this.#guard(request, route)
    const caller = await this.#authorized(request, { route, params })
    if (route.scope !== 'open') this.#connections.markAuthenticated(request.socket)
    const { answer } = route
    if (answer === 'events') {
      // The head alone would wait for events that it never shows, and keep a follower's place.
      if (request.method === 'HEAD') {
        response.writeHead(200, EVENTS_HEAD).end()
        return undefined
      }
      const { name, scopes } = caller
      const first = { event: 'caller', data: { name, scopes: [...scopes] } }
      this.events.attach(response, (scope) => mayCall(caller, scope), [first])
      return undefined
    }
    const peer = request.socket.remoteAddress
    return audited(this.#options.log, { route, params, who: caller.name, peer }, async () => {
      const body = writes ? await readJson(request, route.maxBodyBytes ?? BODY_BYTES) : undefined
      const asked = { params, query: url.query, accept: request.headers.accept, body }
      const reply = await this.#inTime(answer(asked, this.#options))
      if (writes) await this.#options.parts.settled?.()
      if (route.event !== undefined && 'json' in reply) this.events.publish(route.event, reply.json)
      return { reply, request: asked }
    })
  }

  #guard(request: IncomingMessage, route: AdminRoute): void {
    const writes = route.method !== 'GET'
    const { headers } = request
    checkHosts(request)
    checkAuthorizations(request)
    const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
    const isSensitive = route.scope !== 'open' && route.scope !== 'metrics'
    guard(
      {
        headers,
        writes,
        // A DELETE without a body is never a browser's simple request, so it needs no content type.
        hasBody: hasBody || (writes && request.method !== 'DELETE'),
        unauthenticated: isSensitive && !this.#auth.hasTokens,
      },
      this.#settings,
    )
  }

  /** The caller; throws 401 or 403. */
  async #authorized(request: IncomingMessage, { route, params }: Match): Promise<AdminCaller> {
    const auth = this.#auth
    const open = auth.withoutCredentials(route.scope, request.socket.remoteAddress)
    if (open !== undefined) return open
    const { authorization } = request.headers
    const holder = auth.token(authorization) ?? (await this.#options.identify?.(request))
    if (!holder) throw unknownCaller(authorization)
    if (holder instanceof GatewayError) throw holder
    auth.authorize(holder, route.scope, params['pool'])
    return holder
  }

  async #inTime(answer: AdminReply | Promise<AdminReply>): Promise<AdminReply> {
    let cancel: (() => void) | undefined
    const late = new Promise<never>((_, reject) => {
      cancel = this.#options.clock.after(ANSWER_TIMEOUT_MS, () => {
        reject(new Problem(504, `no answer within ${ANSWER_TIMEOUT_MS / 1_000} s`))
      })
    })
    try {
      return await Promise.race([answer, late])
    } finally {
      cancel?.()
    }
  }

  /** Handles an error that prevented even an error response: the connection is closed, and the process continues. */
  #failed({ method }: IncomingMessage, response: ServerResponse, error: unknown): void {
    this.#options.log.error('admin.failed', { method, error: String(error) })
    response.destroy()
  }

  #refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    // The caller has left: nothing failed here.
    if (request.socket.destroyed) return
    const problem = asProblem(error)
    const { log } = this.#options
    // Without the query, in which some put their token.
    const { path } = targetOf(request.url ?? '')
    const { who } = problem.extras
    const about = { method: request.method, path: path.slice(0, 256), status: problem.status }
    if (problem.status === 500) log.error('admin.failed', { ...about, error: String(error) })
    else if (problem.status === 401 || problem.status === 403) {
      log.warn('admin.refused', {
        ...about,
        ...(who === undefined ? {} : { who }),
        peer: request.socket.remoteAddress,
        reason: problem.message,
      })
    }
    if (response.headersSent) return void response.destroy()
    request.resume()
    response.writeHead(problem.status, {
      ...COMMON_HEADERS,
      'content-type': PROBLEM_TYPE,
      // The rest of an unread body must not be taken for the next request.
      ...(request.complete ? {} : { connection: 'close' }),
      ...problem.extras.headers,
    })
    response.end(request.method === 'HEAD' ? undefined : problem.body)
  }
}

function authOf({ tokens, openMetrics, host }: AdminSettings): Auth {
  const auth = new Auth(tokens, openMetrics)
  const refusal = listenRefusal(host, auth.hasTokens)
  if (refusal !== undefined) throw new Error(refusal)
  return auth
}

function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof GatewayError)
    return new Problem(error.fault.status, error.message, { headers: headersOf(error) })
  return new Problem(500, 'the gateway failed to answer this; its log says why')
}

function headersOf({ detail: { fields = [] } }: GatewayError): Record<string, string> {
  return Object.fromEntries(
    fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1] as string]] : [])),
  )
}

function listenError(error: NodeJS.ErrnoException, { host, port }: HostPort): Error {
  const at = `${host}:${port}`
  const fix: Record<string, string> = {
    EADDRINUSE:
      'another process has it; stop that one, or take another port by --admin HOST:PORT or admin.listen',
    EACCES: 'this user may not open it; take a port above 1023',
    EADDRNOTAVAIL: 'this machine has no such address; set admin.listen to one it has',
  }
  return new Error(`the admin listener cannot open ${at}: ${fix[error.code ?? ''] ?? error.message}`, {
    cause: error,
  })
}

/** The raw response to a request that the parser refused. */
function noRequest(why: string): string {
  const { status, body } = new Problem(400, why)
  const head = `HTTP/1.1 ${status} Bad Request\r\nconnection: close\r\ncontent-type: application/problem+json`
  return `${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}
