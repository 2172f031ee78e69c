/**
 * Ends TLS in front of a server that reads plain connections: what the server accepts goes through a handshake first, and
 * reaches the server's own listeners as a `TLSSocket`. The first bytes are read here, before node:tls: they name the
 * certificate, and a client that speaks plain HTTP is told so. Handshakes that are not over are bounded in number and time.
 */
import type net from 'node:net'
import type { TLSSocket } from 'node:tls'
import { type Timer, timer, type Wheel } from '../wheel.ts'
import { readFirstBytes } from './client-hello.ts'
import type { ServerTls } from './material.ts'
import { ServerContexts } from './server-contexts.ts'

/**
 * How a handshake ended. `http`: plain HTTP was sent; `late`: it took too long; `full`: too many were under way;
 * `untrusted`: the client's certificate does not verify; `failed`: anything else.
 */
export type HandshakeOutcome = 'ok' | 'http' | 'late' | 'full' | 'untrusted' | 'failed'

export interface TlsTerminatorOptions {
  /** Its listeners for `connection` must be in place. */
  readonly server: net.Server
  /** The application protocols that are spoken behind TLS, by preference. */
  readonly alpn: readonly string[]
  readonly handshakeTimeoutMs: number
  /** The most handshakes under way; further connections are closed. */
  readonly maxHandshakes: number
  /** The answer to a client that speaks plain HTTP; the connection is closed behind it. */
  readonly plainAnswer: string
  readonly wheel: Wheel
  readonly ended: (outcome: HandshakeOutcome) => void
}

type ConnectionListener = (socket: net.Socket) => void

export class TlsTerminator {
  readonly #options: TlsTerminatorOptions
  readonly #serve: readonly ConnectionListener[]
  /** By the addresses of both ends, which node:tls's socket has as well. */
  readonly #handshakes = new Map<string, Handshake>()
  #contexts: ServerContexts | undefined

  constructor(options: TlsTerminatorOptions) {
    const { server } = options
    this.#options = options
    this.#serve = server.listeners('connection') as ConnectionListener[]
    server.removeAllListeners('connection').on('connection', (socket: net.Socket) => this.#accepted(socket))
  }

  /**
   * From now on new connections are served with this; undefined: without TLS. Throws, and changes nothing, where it
   * cannot be used.
   */
  use(material: ServerTls | undefined): void {
    this.#contexts =
      material && new ServerContexts(material, this.#options.alpn, (socket) => this.#secured(socket))
  }

  /** Destroys the connections whose handshake is not over. */
  cut(): void {
    for (const handshake of this.#handshakes.values()) handshake.end('failed')
  }

  #accepted(socket: net.Socket): void {
    const contexts = this.#contexts
    if (!contexts) return this.#pass(socket)
    const { maxHandshakes, ended } = this.#options
    if (this.#handshakes.size >= maxHandshakes) {
      socket.destroy()
      return ended('full')
    }
    const name = nameOf(socket)
    const over = (outcome: HandshakeOutcome) => {
      this.#handshakes.delete(name)
      ended(outcome)
    }
    this.#handshakes.set(name, new Handshake(socket, contexts, { ...this.#options, over }))
  }

  #secured(socket: TLSSocket): void {
    const handshake = this.#handshakes.get(nameOf(socket))
    // node:tls leaves it to its user to end a connection whose optional certificate is not valid.
    if (!socket.authorized && socket.getPeerX509Certificate()) return handshake?.end('untrusted')
    handshake?.end('ok')
    this.#pass(socket)
  }

  #pass(socket: net.Socket): void {
    for (const listener of this.#serve) listener.call(this.#options.server, socket)
  }
}

function nameOf({ remoteAddress, remotePort, localAddress }: net.Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`
}

interface HandshakeOptions
  extends Pick<TlsTerminatorOptions, 'handshakeTimeoutMs' | 'plainAnswer' | 'wheel'> {
  /** Called once. */
  readonly over: (outcome: HandshakeOutcome) => void
}

/** One connection until its handshake is over. */
class Handshake {
  readonly #socket: net.Socket
  readonly #contexts: ServerContexts
  readonly #options: HandshakeOptions
  readonly #timer: Timer
  #bytes: Buffer | undefined
  #outcome: HandshakeOutcome | undefined
  /** The outcome if the connection is closed now. */
  #ifClosed: HandshakeOutcome = 'failed'

  constructor(socket: net.Socket, contexts: ServerContexts, options: HandshakeOptions) {
    this.#socket = socket
    this.#contexts = contexts
    this.#options = options
    this.#timer = timer(() => this.end(this.#ifClosed === 'http' ? 'http' : 'late'))
    options.wheel.arm(this.#timer, options.handshakeTimeoutMs)
    socket.on('data', this.#onData)
    // What is missing of the hello will not come.
    socket.once('end', () => this.#ifClosed === 'failed' && this.end('failed'))
    socket.once('close', () => this.end(this.#ifClosed))
    // `close` follows.
    socket.on('error', () => {})
  }

  /** The handshake is over; unless it is `ok`, so is the connection. */
  end(outcome: HandshakeOutcome): void {
    if (this.#outcome) return
    this.#outcome = outcome
    this.#options.wheel.disarm(this.#timer)
    if (outcome !== 'ok') this.#socket.destroy()
    this.#options.over(outcome)
  }

  readonly #onData = (chunk: Buffer): void => {
    const bytes = this.#bytes ? Buffer.concat([this.#bytes, chunk]) : chunk
    this.#bytes = bytes
    const first = readFirstBytes(bytes)
    if (first.kind === 'partial') return
    const socket = this.#socket.off('data', this.#onData)
    this.#bytes = undefined
    if (first.kind === 'other') return this.end('failed')
    if (first.kind === 'http') return this.#refusePlain()
    socket.pause()
    socket.unshift(bytes)
    this.#contexts.find(first.serverName).emit('connection', socket)
  }

  /** What the client still sends is dropped, until the deadline of the handshake: a reset would lose the answer. */
  #refusePlain(): void {
    this.#ifClosed = 'http'
    this.#socket.resume().end(this.#options.plainAnswer, 'latin1')
  }
}
