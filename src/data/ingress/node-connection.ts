/**
 * One connection at the node:http door, where node:http is the parser only. Pipelined requests are served one after the other,
 * as at the fast door (RFC 9112, section 9.3.2: a request behind one that changes something waits for its answer). An error of
 * the parser is answered in its turn. A connection whose client still sends is closed with a linger, so that no answer is
 * lost.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { GatewayError } from '../../core/errors.ts'
import { http } from '../../lib/http.ts'
import { type Timer, timer, type Wheel } from '../../lib/wheel.ts'
import { refusal } from '../http/refusal.ts'
import { type BodyFraming, ChunkSizes } from './chunk-sizes.ts'
import { CHUNK_PROBE, HalfClosed } from './half-closed.ts'
import type { Ingress } from './ingress.ts'
import { Linger } from './linger.ts'
import { HttpBody } from './node-body.ts'
import { type NodeMessages as Exchange, NodeExchange } from './node-exchange.ts'
import { asksForWebSocket, UpgradeExchange } from './upgrade-exchange.ts'

/** What the connections of one server share. */
export interface NodeDoorContext {
  readonly ingress: Ingress
  readonly wheel: Wheel
  readonly bodyTimeoutMs: number
  readonly keepAliveTimeoutMs: number
  /** The gateway shuts down: an answer with no request behind it is the last on its connection. */
  readonly isLeaving: () => boolean
  /** The gateway drains: every answer is the last on its connection. */
  readonly isDraining: () => boolean
  /** The connections that node:http has left to an upgrade. */
  readonly upgraded: Set<Duplex>
}

/** The most pipelined requests that wait for the answer before them; beyond it the client is not read from. */
const MAX_AHEAD = 64

export class NodeConnection {
  readonly #socket: Duplex
  readonly #context: NodeDoorContext
  /** The deadline of a head that the fast door has read a part of. */
  readonly #timer: Timer
  readonly #waiting: Exchange[] = []
  /** Of requests that the parser has taken and `ChunkSizes` has not come to; undefined: it follows no more. */
  #framings: BodyFraming[] | undefined = []
  #current: Exchange | undefined
  #isPaused = false
  /** A refusal that is written behind the answers that are due, as the last. */
  #refusal: string | undefined
  #linger: Linger | undefined
  /** From when the client has closed its end while it waits for an answer. */
  #halfClosed: HalfClosed | undefined
  /** The connection ends with the present answer. */
  #isLast = false
  #isClosing = false
  /** node:http does not use the socket any more. */
  #isReleased = false
  readonly #unfollow: () => void

  constructor(socket: Duplex, context: NodeDoorContext) {
    this.#socket = socket
    this.#context = context
    this.#timer = timer(() => this.#refuse('408 Request Timeout'))
    // node:http calls this to end the connection after the last answer.
    Object.assign(socket, { destroySoon: () => this.#close() })
    // node:http resumes the socket after each complete message, even if it was paused here.
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
    this.#unfollow = () => void socket.off('data', follow)
    socket.once('end', () => {
      if (this.#current && !this.#isClosing)
        this.#halfClosed = new HalfClosed(context.wheel, () => this.#probe())
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
    const { mintId } = this.#context.ingress
    const exchange = { request, response, isFinal, body, mintId }
    if (this.#isClosing) return exchange.body.drop((bytes) => this.#linger?.received(bytes))
    if (!this.#current) return this.#serve(exchange)
    this.#waiting.push(exchange)
    if (this.#waiting.length < MAX_AHEAD || this.#isPaused) return
    this.#isPaused = true
    this.#socket.pause()
  }

  /** During shutdown, requests that were read are still answered; during the drain, clients must repeat them elsewhere. */
  get #isFinal(): boolean {
    const { isLeaving, isDraining } = this.#context
    if (this.#refusal !== undefined) return false
    return isDraining() || (isLeaving() && this.#waiting.length === 0)
  }

  /** The parser found an error, or a head took too long. */
  clientError(error: NodeJS.ErrnoException): void {
    if (this.#isClosing) return
    // Bytes behind a request with `Connection: close` are not read (RFC 9112, section 9.6). Its answer closes the connection.
    if (error.code === 'HPE_CLOSED_CONNECTION') return
    if (error.code === 'ECONNRESET' || !this.#socket.writable) return void this.#socket.destroy()
    this.#refuse(REFUSALS[error.code ?? ''] ?? '400 Bad Request', error.code === 'HPE_INVALID_EOF_STATE')
  }

  /** Refuses CONNECT (RFC 9110, section 9.3.6). node:http parses nothing behind it, and leaves the socket to this class. */
  connectRequested(): void {
    this.#isReleased = true
    const socket = this.#socket
    socket.pause()
    // node:http no longer handles errors of the socket, nor passes `drain` on to the answer that is being written.
    socket.on('error', () => {}).on('drain', () => this.#current?.response.emit('drain'))
    this.#refuse('501 Not Implemented')
  }

  /** Whether the request is for a WebSocket, and no other is under way before it. */
  mayUpgrade(request: IncomingMessage): boolean {
    return !this.#current && !this.#isClosing && this.#refusal === undefined && asksForWebSocket(request)
  }

  /** node:http parses nothing behind the request, and leaves the socket to this class. `early`: what was sent behind it. */
  upgradeRequested(request: IncomingMessage, early: Buffer): void {
    const { wheel, bodyTimeoutMs, ingress, upgraded } = this.#context
    wheel.disarm(this.#timer)
    this.#isReleased = true
    this.#unfollow()
    const socket = this.#socket
    socket.pause()
    socket.on('error', () => {}).once('close', () => upgraded.delete(socket))
    upgraded.add(socket)
    // A client waits for the 101 (RFC 6455, section 4.1): whatever comes before might be meant as another request.
    if (early.length > 0) return this.#refuse('400 Bad Request')
    const response = new http.ServerResponse(request)
    response.assignSocket(socket as Socket)
    const close = () => this.#close()
    response.once('finish', close)
    const body = new HttpBody(request, wheel, bodyTimeoutMs)
    const { mintId } = ingress
    const messages = { request, response, body, mintId, isFinal: () => true }
    ingress.serve(new UpgradeExchange(messages, socket, close))
  }

  /** `isLeaving`: the client has closed its end in the middle of a message. */
  #refuse(status: string, isLeaving = false): void {
    const latest = this.#waiting.at(-1) ?? this.#current
    if (latest && !latest.request.complete) {
      const { response } = latest
      // The request that is broken may have its answer already, or half of it: a refusal would be a second one, or become a part of it.
      this.#isLast = response.writableEnded
      if (response.writableFinished) return this.#close()
      if (this.#isLast) return
      if (response.headersSent) return void this.#socket.destroy()
      if (isLeaving) {
        this.#refusal = status
        if (latest === this.#current) return this.#close()
        return void this.#waiting.pop()
      }
      // The request has no answer yet, so its body fails, and it is answered with the error in its turn.
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
    // The parser reads nothing behind a request with Upgrade, and drops what came with it.
    if (asksForUpgrade(request)) response.setHeader('Connection', 'close')
    response.once('close', () => this.#answered(exchange))
    ingress.serve(new NodeExchange(exchange))
  }

  /** Writes what the client must read over, where the answer is at a point that allows it: see `HalfClosed`. */
  #probe(): void {
    if (!this.#current || this.#isClosing) return
    const { request, response } = this.#current
    if (request.httpVersion !== '1.1' || response.writableEnded) return
    if (!response.headersSent) response.writeContinue()
    else if (response.chunkedEncoding) this.#socket.write(CHUNK_PROBE)
  }

  #answered({ request, body }: Exchange): void {
    if (this.#socket.destroyed || this.#isClosing) return
    if (this.#isLast) return this.#close()
    if (request.complete) {
      if (!request.readableEnded) body.drop(() => {})
      return this.#next()
    }
    const linger = new Linger(this.#socket, this.#context.wheel)
    this.#linger = linger
    body.drop((bytes) => linger.received(bytes))
    request.once('end', () => {
      linger.end()
      if (!this.#socket.destroyed && !this.#isClosing) this.#next()
    })
  }

  #next(): void {
    this.#current = undefined
    const next = this.#waiting.shift()
    if (next) this.#serve(next)
    // An answer that began before the drain did not have `Connection: close`.
    else if (this.#refusal !== undefined || this.#context.isDraining()) return this.#close()
    if (!this.#isPaused || this.#waiting.length > MAX_AHEAD / 2) return
    this.#isPaused = false
    this.#socket.resume()
  }

  /** Ends the sending side, and lingers. */
  #close(): void {
    if (this.#isClosing) return
    this.#isClosing = true
    this.#halfClosed?.end()
    const { wheel, keepAliveTimeoutMs } = this.#context
    this.#linger?.end()
    const linger = new Linger(this.#socket, wheel, keepAliveTimeoutMs)
    this.#linger = linger
    const requestId = this.#context.ingress.mintId()
    this.#socket.end(this.#refusal === undefined ? undefined : refusal(this.#refusal, { requestId }))
    if (this.#isReleased) this.#socket.on('data', (bytes: Buffer) => linger.received(bytes.length)).resume()
    for (const { body } of [...(this.#current ? [this.#current] : []), ...this.#waiting])
      body.drop((bytes) => linger.received(bytes))
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

/** Whether the parser takes the request for an upgrade. */
function asksForUpgrade({ headers }: IncomingMessage): boolean {
  return headers.upgrade !== undefined && /upgrade/i.test(headers.connection ?? '')
}
