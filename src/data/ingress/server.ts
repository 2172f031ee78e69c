/**
 * The listener for clients: node:http with every limit set, the fast door in front of it where that is wanted,
 * and a drain that loses nothing. What the parser refuses is answered here, because no call has come of it.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { http } from '../../lib/http.ts'
import type { Wheel } from '../../lib/wheel.ts'
import { createDoor } from './door/door.ts'
import { MAX_HEAD_BYTES } from './door/head.ts'
import { HttpIntake } from './http-intake.ts'
import type { Ingress } from './ingress.ts'
import { refusal } from './refusal.ts'

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

export interface Listener {
  readonly address: AddressInfo
  /** Refuses new connections, lets running requests finish for at most so long, then cuts them. */
  drain(timeoutMs: number): Promise<void>
}

export async function listen(options: ServerOptions, ingress: Ingress): Promise<Listener> {
  const server = http.createServer({
    maxHeaderSize: options.maxHeaderBytes,
    headersTimeout: options.headerTimeoutMs,
    requestTimeout: options.headerTimeoutMs + options.bodyTimeoutMs,
    keepAliveTimeout: options.keepAliveTimeoutMs,
    connectionsCheckingInterval: 1000,
    requireHostHeader: true,
    noDelay: true,
  })
  server.maxConnections = options.maxConnections
  let draining = false
  attach(server, ingress, () => draining)
  const { headerTimeoutMs: headTimeoutMs, bodyTimeoutMs, keepAliveTimeoutMs, wheel } = options
  const maxHeadBytes = Math.min(MAX_HEAD_BYTES, options.maxHeaderBytes)
  const door = options.fastDoor
    ? createDoor({
        server,
        limits: { maxHeadBytes, headTimeoutMs, bodyTimeoutMs, keepAliveTimeoutMs },
        wheel,
        ...ingress,
      })
    : undefined
  await bind(server, options)
  return {
    address: server.address() as AddressInfo,
    async drain(timeoutMs) {
      draining = true
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

const REFUSALS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/** Lets node:http's requests be served, and its refusals be said. */
export function attach(server: Server, ingress: Ingress, isDraining: () => boolean): void {
  const running = new WeakMap<Duplex, Exchange>()
  const serve = (request: IncomingMessage, response: ServerResponse) => {
    running.set(request.socket, { request, response })
    // A kept-alive connection is told to go with its next answer, so that draining ends.
    if (isDraining()) response.setHeader('Connection', 'close')
    ingress.serve(new HttpIntake(request, response))
  }
  server.on('request', serve)
  server.on('checkContinue', serve)
  server.on('clientError', (error, socket) => refuse(error, socket, running.get(socket)))
}

function refuse(error: NodeJS.ErrnoException, socket: Duplex, latest: Exchange | undefined): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  if (latest && !latest.response.writableFinished) {
    const { request, response } = latest
    // What came after a whole request is broken: that request's answer goes out first, and nothing after it.
    if (request.complete) {
      response.once('close', () => socket.destroy())
      return
    }
    // In the middle of an answer our own would be read as part of it.
    if (response.headersSent) {
      socket.destroy()
      return
    }
  }
  socket.end(refusal(REFUSALS[error.code ?? ''] ?? '400 Bad Request'))
}
