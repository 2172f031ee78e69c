/**
 * The listener for clients: node:http with every limit set, the fast door in front of it if it is enabled, and a drain that
 * loses no request.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Listening } from '../../core/addresses.ts'
import { http } from '../../lib/http.ts'
import type { ServerTls } from '../../lib/tls/material.ts'
import { type HandshakeOutcome, TlsTerminator } from '../../lib/tls/terminator.ts'
import type { Wheel } from '../../lib/wheel.ts'
import { refusal } from '../http/refusal.ts'
import { createDoor } from './door/door.ts'
import { MAX_HEAD_BYTES } from './door/head.ts'
import { createHttp2Door } from './h2/door.ts'
import { sortConnections, takeNegotiated } from './h2/preface.ts'
import type { Ingress } from './ingress.ts'
import { NodeConnection, type NodeDoorContext } from './node-connection.ts'

export interface ServerOptions extends Listening {
  /** Other threads or processes listen on the same port, and the kernel spreads connections over them. */
  readonly isShared?: boolean
  readonly maxHeaderBytes: number
  /** Milliseconds for the head, and for the whole request, to arrive. */
  readonly headerTimeoutMs: number
  readonly bodyTimeoutMs: number
  readonly keepAliveTimeoutMs: number
  readonly maxConnections: number
  /** Plain requests are parsed by the fast door instead of node:http. */
  readonly fastDoor: boolean
  /** Undefined: plain HTTP. */
  readonly tls?: ServerTls | undefined
  /** Called at the end of each TLS handshake. */
  readonly handshake?: (outcome: HandshakeOutcome) => void
  /** Called for each connection that is closed because it begins in another protocol. */
  readonly foreign?: () => void
  readonly wheel: Wheel
}

export interface DataListener {
  readonly address: AddressInfo
  /** New connections are served with these certificates, or without TLS; open ones stay as they are. */
  secure(tls: ServerTls | undefined): void
  /** From now on each answer is the last one on its connection; new connections are accepted as before. */
  leave(): void
  /** Refuses new connections, lets running requests finish for at most so long, then destroys them. */
  drain(timeoutMs: number): Promise<void>
}

/** The interval at which node:http checks the deadlines of heads. */
const CHECK_MS = 200
/** Most time for accepting what waits in the backlog when the port is to be closed, on a machine where each takes long. */
const MAX_ACCEPTING_MS = 2_000
/** Connections that wait to be accepted. */
const BACKLOG = 1024
/** TLS handshakes that are under way at a time: a core finishes these within a second. */
const MAX_HANDSHAKES = 1024

export async function listen(options: ServerOptions, ingress: Ingress): Promise<DataListener> {
  const server = newServer(options)
  let leaving = false
  let draining = false
  const { headerTimeoutMs: headTimeoutMs, bodyTimeoutMs, keepAliveTimeoutMs, wheel } = options
  const upgraded = new Set<Duplex>()
  const connectionOf = attach(server, {
    upgraded,
    ingress,
    wheel,
    bodyTimeoutMs,
    keepAliveTimeoutMs,
    isLeaving: () => leaving,
    isDraining: () => draining,
  })
  const maxHeadBytes = Math.min(MAX_HEAD_BYTES, options.maxHeaderBytes)
  const limits = { maxHeadBytes, headTimeoutMs, bodyTimeoutMs, keepAliveTimeoutMs }
  const http2 = createHttp2Door({ ...ingress, limits, wheel })
  const handedOver = (socket: Duplex, headMs: number) => connectionOf(socket).awaitHead(headMs)
  const { foreign = () => {} } = options
  const door = options.fastDoor
    ? createDoor({ server, limits, wheel, http2, foreign, handedOver, ...ingress })
    : sortConnections(server, { http2, foreign, headTimeoutMs, wheel, mintId: ingress.mintId })
  takeNegotiated(server, http2)
  const terminator = terminatorOf(server, options)
  await bind(server, options)
  return {
    address: server.address() as AddressInfo,
    secure: (tls) => terminator.use(tls),
    leave() {
      leaving = true
      door.leave()
    },
    async drain(timeoutMs) {
      draining = true
      const until = performance.now() + timeoutMs
      // What waits at a socket that was handed over is for the process that comes next.
      if (options.socket === undefined) await backlogAccepted(server, Math.min(timeoutMs, MAX_ACCEPTING_MS))
      // Also closes connections on which node:http has read no request yet; the fast door gives such a second.
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeIdleConnections()
      door.drain()
      http2.drain()
      const cut = setTimeout(
        () => {
          server.closeAllConnections()
          for (const socket of upgraded) socket.destroy()
          door.cut()
          http2.cut()
          terminator.cut()
        },
        Math.max(0, until - performance.now()),
      )
      await closed
      clearTimeout(cut)
    },
  }
}

function newServer(options: ServerOptions): Server {
  const server = http.createServer({
    maxHeaderSize: options.maxHeaderBytes,
    headersTimeout: options.headerTimeoutMs,
    // Bodies have a deadline of their own, from the end of the head.
    requestTimeout: 0,
    keepAliveTimeout: options.keepAliveTimeoutMs,
    connectionsCheckingInterval: CHECK_MS,
    // `NodeExchange.check` refuses it: node:http would refuse it and go on with the requests behind.
    requireHostHeader: false,
    noDelay: true,
  })
  server.maxConnections = options.maxConnections
  return server
}

function terminatorOf(server: Server, options: ServerOptions): TlsTerminator {
  const terminator = new TlsTerminator({
    server,
    alpn: ['h2', 'http/1.1'],
    handshakeTimeoutMs: options.headerTimeoutMs,
    maxHandshakes: MAX_HANDSHAKES,
    plainAnswer: refusal('400 Bad Request', {
      detail: 'this port speaks HTTPS: begin the URL with https://',
    }),
    wheel: options.wheel,
    ended: options.handshake ?? (() => {}),
  })
  terminator.use(options.tls)
  return terminator
}

function bind(server: Server, { host, port, socket, isShared = false }: ServerOptions): Promise<void> {
  const at = socket === undefined ? { host, port, reusePort: isShared } : { fd: socket }
  return new Promise((resolve, reject) => {
    const unfit = () =>
      reject(new Error(`descriptor ${socket}, which LISTEN_FDS hands over, is no listening TCP socket`))
    const failed = socket === undefined ? reject : unfit
    server.once('error', failed)
    server.listen({ ...at, backlog: BACKLOG }, () => {
      server.off('error', failed)
      // A listening Unix socket has a path for an address.
      if (typeof server.address() === 'object') resolve()
      else unfit()
    })
  })
}

/**
 * Resolves when the kernel's backlog is empty, or soon after: its connections would be reset when the port closes. A turn of the
 * event loop accepts one connection, and the first turn may be behind its look at the network already, so two turns
 * without a connection are waited for.
 */
async function backlogAccepted(server: Server, withinMs: number): Promise<void> {
  let idleTurns = 0
  const accepted = () => {
    idleTurns = 0
  }
  server.on('connection', accepted)
  const until = performance.now() + withinMs
  while (idleTurns < 2 && performance.now() < until) {
    idleTurns++
    await new Promise((resolve) => setImmediate(resolve))
  }
  server.off('connection', accepted)
}

/** Finds the `NodeConnection` of a socket. */
export type ConnectionOf = (socket: Duplex) => NodeConnection

/** Connects the events of a node:http server to the `NodeConnection` of each socket. */
export function attach(server: Server, context: NodeDoorContext): ConnectionOf {
  // Whoever has sent all may close its end and wait: node:http would end the connection, and let go of the request.
  Object.assign(server, { httpAllowHalfOpen: true })
  const connections = new WeakMap<Duplex, NodeConnection>()
  const connectionOf = (socket: Duplex) => {
    const known = connections.get(socket)
    if (known) return known
    const connection = new NodeConnection(socket, context)
    connections.set(socket, connection)
    return connection
  }
  const serve = (request: IncomingMessage, response: ServerResponse) =>
    connectionOf(request.socket).arrived(request, response)
  // From its first byte on: what node:http reads of a socket by itself, nobody else sees.
  server.on('connection', connectionOf)
  server.on('request', serve)
  server.on('checkContinue', serve)
  // Any other Upgrade is ignored: the request is served as if it had none. So are all before Node 24.9, which leaves none to choose.
  if ('shouldUpgradeCallback' in server) {
    const shouldUpgradeCallback = (request: IncomingMessage) =>
      connectionOf(request.socket).mayUpgrade(request)
    Object.assign(server, { shouldUpgradeCallback })
    server.on('upgrade', (request: IncomingMessage, socket, early) =>
      connectionOf(socket).upgradeRequested(request, early),
    )
  }
  server.on('connect', ({ socket }) => connectionOf(socket).connectRequested())
  // An unknown expectation may be ignored (RFC 9110, section 10.1.1); node:http would answer 417 itself, past our metrics.
  server.on('checkExpectation', serve)
  server.on('clientError', (error, socket) => connectionOf(socket).clientError(error))
  return connectionOf
}
