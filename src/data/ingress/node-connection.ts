/**
 * One connection at the door of node:http, which parses it and no more: requests that come one behind the other are served one
 * after the other, as at the fast door (RFC 9112, section 9.3.2: what comes behind a request that changes something waits for its
 * answer); what the parser refuses is said in its turn; and a connection that ends while its client still sends is closed
 * in a way that loses no answer.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { GatewayError } from '../../core/errors.ts'
import { type Timer, timer, type Wheel } from '../../lib/wheel.ts'
import { refusal } from '../http/refusal.ts'
import { type BodyFraming, ChunkSizes } from './chunk-sizes.ts'
import { HalfClosed } from './half-closed.ts'
import type { Ingress } from './ingress.ts'
import { Linger } from './linger.ts'
import { HttpBody } from './node-body.ts'
import { type NodeMessages as Exchange, NodeExchange } from './node-exchange.ts'

/** What the connections of one server share. */
export interface NodeDoorContext {
  readonly ingress: Ingress
  readonly wheel: Wheel
  readonly bodyTimeoutMs: number
  readonly keepAliveTimeoutMs: number
  /** The gateway goes: an answer with no request behind it is the last on its connection. */
  readonly isLeaving: () => boolean
  /** And so is any other. */
  readonly isDraining: () => boolean
}

/** Requests that wait for the answer before them; a client with more of them is not read from. */
const MAX_AHEAD = 64

export class NodeConnection {
  readonly #socket: Duplex
  readonly #context: NodeDoorContext
  /** For a head of which the fast door has seen a part. */
  readonly #timer: Timer
  readonly #waiting: Exchange[] = []
  /** Of requests that the parser has taken and `ChunkSizes` has not come to; undefined: it follows no more. */
  #framings: BodyFraming[] | undefined = []
  #current: Exchange | undefined
  #isPaused = false
  /** To be said behind the answers that are due, as the last. */
  #refusal: string | undefined
  #linger: Linger | undefined
  /** From when the client has closed its end while it waits for an answer. */
  #halfClosed: HalfClosed | undefined
  /** The connection ends with the answer that is on its way. */
  #isLast = false
  #isClosing = false
  /** node:http has let go of the socket. */
  #isReleased = false

  constructor(socket: Duplex, context: NodeDoorContext) {
    this.#socket = socket
    this.#context = context
    this.#timer = timer(() => this.#refuse('408 Request Timeout'))
    // node:http ends a connection by this, with the last answer.
    Object.assign(socket, { destroySoon: () => this.#close() })
    // node:http reads on with each message that is complete, whoever has paused.
    socket.on('resume', () => {
      if (this.#isPaused) socket.pause()
    })
    const sizes = new ChunkSizes(() => this.#framings?.shift())
    const follow = (bytes: Buffer) => {
      if (sizes.read(bytes)) return
      socket.off('data', follow)
      this.#framings = undefined
    }
    // Behind the parser's own listener: it has taken these bytes.
    socket.on('data', follow)
    socket.once('end', () => {
      if (this.#current && !this.#isClosing)
        this.#halfClosed = new HalfClosed(socket, context.wheel, () => socket.destroy())
    })
    socket.once('close', () => {
      context.wheel.disarm(this.#timer)
      this.#linger?.end()
      this.#halfClosed?.end()
    })
  }

  /** The rest of a head must come within so many milliseconds. */
  awaitHead(ms: number): void {
    this.#context.wheel.arm(this.#timer, ms)
  }

  arrived(request: IncomingMessage, response: ServerResponse): void {
    const { wheel, bodyTimeoutMs } = this.#context
    wheel.disarm(this.#timer)
    const isFinal = () => this.#isFinal
    const body = new HttpBody(request, wheel, bodyTimeoutMs)
    this.#framings?.push({ length: lengthOf(request), announce: (bytes) => body.announce(bytes) })
    const exchange = { request, response, isFinal, body }
    if (this.#isClosing) return exchange.body.discard((bytes) => this.#linger?.received(bytes))
    if (!this.#current) return this.#serve(exchange)
    this.#waiting.push(exchange)
    if (this.#waiting.length < MAX_AHEAD || this.#isPaused) return
    this.#isPaused = true
    this.#socket.pause()
  }

  /** While the gateway leaves, what has been read is answered; when it drains, a client must ask again elsewhere. */
  get #isFinal(): boolean {
    const { isLeaving, isDraining } = this.#context
    if (this.#refusal !== undefined) return false
    return isDraining() || (isLeaving() && this.#waiting.length === 0)
  }

  /** The parser cannot read on, or has waited too long. */
  clientError(error: NodeJS.ErrnoException): void {
    if (this.#isClosing) return
    // Behind a request that said it is the last: not for us to read (RFC 9112, section 9.6). Its answer closes the connection.
    if (error.code === 'HPE_CLOSED_CONNECTION') return
    if (error.code === 'ECONNRESET' || !this.#socket.writable) return void this.#socket.destroy()
    this.#refuse(REFUSALS[error.code ?? ''] ?? '400 Bad Request', error.code === 'HPE_INVALID_EOF_STATE')
  }

  /** CONNECT (RFC 9110, section 9.3.6): node:http takes nothing behind it for HTTP, and leaves the socket to us. */
  connectRequested(): void {
    this.#isReleased = true
    const socket = this.#socket
    socket.pause()
    // Whom node:http no longer tells: nobody of an error, and of room the answer that is on its way.
    socket.on('error', () => {}).on('drain', () => this.#current?.response.emit('drain'))
    this.#refuse('501 Not Implemented')
  }

  /** `isLeaving`: the client has closed its end in the middle of a message. */
  #refuse(status: string, isLeaving = false): void {
    const latest = this.#waiting.at(-1) ?? this.#current
    if (latest && !latest.request.complete) {
      const { response } = latest
      // Behind its answer our own would be a second; in the middle of it, a part of it.
      this.#isLast = response.writableEnded
      if (response.writableFinished) return this.#close()
      if (this.#isLast) return
      if (response.headersSent) return void this.#socket.destroy()
      if (isLeaving) {
        this.#refusal = status
        if (latest === this.#current) return this.#close()
        return void this.#waiting.pop()
      }
      // It is what cannot be read, and is told so in its turn.
      const what = 'what comes behind the head of the request is broken'
      return latest.body.breakOff(new GatewayError('badRequest', what))
    }
    this.#refusal = status
    if (!latest) this.#close()
  }

  #serve(exchange: Exchange): void {
    const { request, response } = exchange
    const { ingress } = this.#context
    this.#current = exchange
    // The parser reads nothing behind a request that asks for another protocol, and drops what came with it.
    if (asksForUpgrade(request)) response.setHeader('Connection', 'close')
    response.once('close', () => this.#answered(exchange))
    ingress.serve(new NodeExchange(exchange))
  }

  #answered({ request, body }: Exchange): void {
    if (this.#socket.destroyed || this.#isClosing) return
    if (this.#isLast) return this.#close()
    if (request.complete) {
      if (!request.readableEnded) body.discard(() => {})
      return this.#next()
    }
    const linger = new Linger(this.#socket, this.#context.wheel)
    this.#linger = linger
    body.discard((bytes) => linger.received(bytes))
    request.once('end', () => {
      linger.end()
      if (!this.#socket.destroyed && !this.#isClosing) this.#next()
    })
  }

  #next(): void {
    this.#current = undefined
    const next = this.#waiting.shift()
    if (next) this.#serve(next)
    // An answer that had begun before the drain could not say that it is the last.
    else if (this.#refusal !== undefined || this.#context.isDraining()) return this.#close()
    if (!this.#isPaused || this.#waiting.length > MAX_AHEAD / 2) return
    this.#isPaused = false
    this.#socket.resume()
  }

  /** Says that no more comes, and reads on for a while. */
  #close(): void {
    if (this.#isClosing) return
    this.#isClosing = true
    this.#halfClosed?.end()
    const { wheel, keepAliveTimeoutMs } = this.#context
    this.#linger?.end()
    const linger = new Linger(this.#socket, wheel, keepAliveTimeoutMs)
    this.#linger = linger
    this.#socket.end(this.#refusal === undefined ? undefined : refusal(this.#refusal))
    if (this.#isReleased) this.#socket.on('data', (bytes: Buffer) => linger.received(bytes.length)).resume()
    for (const { body } of [...(this.#current ? [this.#current] : []), ...this.#waiting])
      body.discard((bytes) => linger.received(bytes))
  }
}

const REFUSALS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

/** As the parser sees it; undefined: chunks. */
function lengthOf({ headers }: IncomingMessage): number | undefined {
  return headers['transfer-encoding'] === undefined ? Number(headers['content-length'] ?? 0) : undefined
}

/** As the parser sees it. */
function asksForUpgrade({ headers }: IncomingMessage): boolean {
  return headers.upgrade !== undefined && /upgrade/i.test(headers.connection ?? '')
}
