/**
 * The listener for clients: node:http with every limit set, the fast door in front of it where that is wanted,
 * and a drain that loses nothing.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { http } from '../../lib/http.ts'
import type { Wheel } from '../../lib/wheel.ts'
import { createDoor } from './door/door.ts'
import { MAX_HEAD_BYTES } from './door/head.ts'
import type { Ingress } from './ingress.ts'
import { NodeConnection, type NodeDoorContext } from './node-connection.ts'

export interface ServerOptions {
  readonly host: string
  readonly port: number
  /** Other threads listen on the same port, and the system spreads connections over them. */
  readonly isShared?: boolean
  readonly maxHeaderBytes: number
  /** Milliseconds for the head, and for the whole request, to arrive. */
  readonly headerTimeoutMs: number
  readonly bodyTimeoutMs: number
  readonly keepAliveTimeoutMs: number
  readonly maxConnections: number
  /** Plain requests pass node:http by. */
  readonly fastDoor: boolean
  readonly wheel: Wheel
}

export interface DataListener {
  readonly address: AddressInfo
  /** From now on each answer is the last one on its connection; takes new connections as before. */
  leave(): void
  /** Refuses new connections, lets running requests finish for at most so long, then cuts them. */
  drain(timeoutMs: number): Promise<void>
}

/** How late node:http may notice that a head has taken too long. */
const CHECK_MS = 200

export async function listen(options: ServerOptions, ingress: Ingress): Promise<DataListener> {
  const server = http.createServer({
    maxHeaderSize: options.maxHeaderBytes,
    headersTimeout: options.headerTimeoutMs,
    // Bodies have a deadline of their own, from the end of the head.
    requestTimeout: 0,
    keepAliveTimeout: options.keepAliveTimeoutMs,
    connectionsCheckingInterval: CHECK_MS,
    // Said by `NodeExchange.check`: node:http would go on to the requests behind.
    requireHostHeader: false,
    noDelay: true,
  })
  server.maxConnections = options.maxConnections
  let leaving = false
  let draining = false
  const { headerTimeoutMs: headTimeoutMs, bodyTimeoutMs, keepAliveTimeoutMs, wheel } = options
  const connectionOf = attach(server, {
    ingress,
    wheel,
    bodyTimeoutMs,
    keepAliveTimeoutMs,
    isLeaving: () => leaving,
    isDraining: () => draining,
  })
  const maxHeadBytes = Math.min(MAX_HEAD_BYTES, options.maxHeaderBytes)
  const door = options.fastDoor
    ? createDoor({
        server,
        limits: { maxHeadBytes, headTimeoutMs, bodyTimeoutMs, keepAliveTimeoutMs },
        wheel,
        handedOver: (socket, headMs) => connectionOf(socket).awaitHead(headMs),
        ...ingress,
      })
    : undefined
  await bind(server, options)
  return {
    address: server.address() as AddressInfo,
    leave() {
      leaving = true
      door?.leave()
    },
    async drain(timeoutMs) {
      draining = true
      // Who is connected as far as the system knows is let in first: those would be reset with the port.
      await new Promise((resolve) => setImmediate(resolve))
      // Ends those as well on which node:http has read no request yet; the fast door gives them a moment.
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeIdleConnections()
      door?.drain()
      const cut = setTimeout(() => {
        server.closeAllConnections()
        door?.cut()
      }, timeoutMs)
      await closed
      clearTimeout(cut)
    },
  }
}

function bind(server: Server, { host, port, isShared = false }: ServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, backlog: 1024, reusePort: isShared }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** The lines of the connections that node:http reads. */
export type ConnectionOf = (socket: Duplex) => NodeConnection

/** Lets node:http's requests be served, and its refusals be said. */
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
  server.on('connect', ({ socket }) => connectionOf(socket).connectRequested())
  // An expectation that nobody knows is none (RFC 9110, section 10.1.1); node:http would answer 417 itself, unseen by us.
  server.on('checkExpectation', serve)
  server.on('clientError', (error, socket) => connectionOf(socket).clientError(error))
  return connectionOf
}
