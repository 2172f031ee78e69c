/**
 * One connection at the fast door. It serves plain requests one after the other. At the first that is not plain the connection is
 * handed over to node:http for good, or to the HTTP/2 door, with the bytes that are not read yet.
 */
import type { Duplex } from 'node:stream'
import { GatewayError } from '../../../core/errors.ts'
import { type Timer, timer } from '../../../lib/wheel.ts'
import { bodyTooLate } from '../../http/body.ts'
import { refusal } from '../../http/refusal.ts'
import { clientCertificate } from '../client-certificate.ts'
import { isUnclear } from '../h2/preface.ts'
import { HalfClosed } from '../half-closed.ts'
import { withUnread } from '../half-closed-socket.ts'
import { Linger } from '../linger.ts'
import { MAX_AHEAD_BYTES, MAX_HELD_BYTES, MAX_PIECES, NEW_MS } from './bounds.ts'
import { ConnectionHeads } from './connection-heads.ts'
import type { DoorConnection, DoorContext } from './context.ts'
import { FastAnswers } from './fast-answers.ts'
import { behindEmptyLines, type RequestHead } from './head.ts'
import { readInto } from './read-into.ts'
import { ReceiveBuffer, retained } from './receive-buffer.ts'
import { FastRequest, type ResponseWriter } from './request.ts'
import { SocketWriter } from './socket-writer.ts'
import { TextAnswers } from './text-answers.ts'

export class Connection implements ResponseWriter, DoorConnection {
  readonly #socket: Duplex
  readonly #context: DoorContext
  readonly #arrivals = new ReceiveBuffer()
  readonly #heads: ConnectionHeads
  readonly #fast: FastAnswers
  readonly out: SocketWriter
  readonly #timer: Timer
  #peer: string | undefined
  #unread: Buffer | undefined
  #pieces = 0
  #request: FastRequest | undefined
  /** The head of the request while its body arrives, if the request may turn out to be a memory hit. */
  #pendingHead: RequestHead | undefined
  #reading = false
  #paused = false
  #closing = false
  /** No answer was written yet. */
  #isNew = true
  /** Set while bytes are dropped: the rest of a body, or what arrives behind the last answer. */
  #linger: Linger | undefined
  /** From when the client has closed its end. */
  #halfClosed: HalfClosed | undefined
  /** The socket is detached: node:http has it, or it is closed. */
  #isHandedOver = false

  constructor(accepted: Duplex, context: DoorContext) {
    const own = readInto(accepted, {
      buffer: () => this.#arrivals.next(this.#request?.wanted ?? 0, this.#pendingHead !== undefined),
      callback: (size) => this.#arrived(this.#arrivals.received(size)),
    })
    const socket = own ?? accepted
    this.#socket = socket
    this.#context = context
    this.#heads = new ConnectionHeads(() => context.known(this))
    this.#fast = new FastAnswers(context, this.#heads, new TextAnswers(this))
    this.out = new SocketWriter(socket, context.writeBatcher, () => this.#filled())
    this.#timer = timer(() => this.#expired())
    context.connections.add(this)
    context.wheel.arm(this.#timer, context.limits.headTimeoutMs)
    socket
      .on('end', this.#onEnd)
      .on('error', this.#onError)
      .on('close', this.#onClose)
      .on('drain', this.#onDrain)
    if (own) own.resume()
    else socket.on('data', this.#onData)
  }

  get peer(): string {
    return (this.#peer ??= (this.#socket as { remoteAddress?: string }).remoteAddress ?? '')
  }

  get certificate() {
    return clientCertificate(this.#socket)
  }

  mintId(): string {
    return this.#context.mintId()
  }

  connectionFields(last: boolean): string {
    this.#isNew = false
    const { leaving, draining } = this.#context
    // During shutdown, requests that were read are still answered; during the drain, clients must repeat them elsewhere.
    if (last || ((leaving || this.#halfClosed) && (draining || !this.#unread))) this.#closing = true
    return this.#closing ? 'Connection: close\r\n' : this.#context.keepAlive
  }

  send(head: string, body: Uint8Array | undefined): void {
    this.out.send(head, body)
  }

  answered(): void {
    if (this.#closing) return this.#finish()
    // The next request is read when this answer is written to the socket and the rest of this request's body has arrived.
    if (this.out.isFull) this.#context.wheel.arm(this.#timer, this.#context.limits.keepAliveTimeoutMs)
    else if (this.#request?.isComplete) this.#nextRequest()
    else this.#startLinger(this.#context.limits.bodyTimeoutMs)
  }

  cut(): void {
    this.out.flush()
    this.#socket.destroy()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    if (!this.#paused) this.#socket.resume()
    // The sender was held back: its timeout begins anew.
    if (this.#request && !this.#request.isComplete)
      this.#context.wheel.arm(this.#timer, this.#context.limits.bodyTimeoutMs)
  }

  retire(): void {
    if (this.#request || this.#unread) return
    const { wheel, limits } = this.#context
    if (this.#isNew) wheel.arm(this.#timer, Math.min(NEW_MS, limits.headTimeoutMs))
    else this.#finish()
  }

  /** Takes bytes that lie in shared memory; the part that is kept is copied. False: read no more for now. */
  #arrived(bytes: Buffer): boolean {
    if (this.#isHandedOver) return this.#socket.push(retained(bytes))
    this.#onData(bytes)
    if (this.#unread) this.#unread = retained(this.#unread)
    return true
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#linger?.received(chunk.length)
    if (this.#closing && !this.#request) return
    const request = this.#request
    if (!request) {
      this.#unread = this.#unread ? Buffer.concat([this.#unread, chunk]) : chunk
      return this.#read()
    }
    const wasComplete = request.isComplete
    const rest = request.take(chunk)
    if (!wasComplete) this.#bodyArrived(request)
    if (this.#pendingHead && request.isComplete) this.#servePending(request, this.#pendingHead)
    if (!rest) return
    this.#unread = this.#unread ? Buffer.concat([this.#unread, rest]) : rest
    if (this.#request) this.#pauseReading()
    else this.#read()
  }

  #bodyArrived(request: FastRequest): void {
    const { wheel, limits } = this.#context
    // A body that streams may take as long as the call, but there is a timeout between two pieces.
    if (!request.isComplete && request.isStreamed && !this.#linger)
      wheel.arm(this.#timer, limits.bodyTimeoutMs)
    if (!request.isAnswered) return
    if (request.isComplete && !this.out.isFull) this.#nextRequest()
    else if (request.isComplete) wheel.arm(this.#timer, limits.keepAliveTimeoutMs)
  }

  #pauseReading(): void {
    if (this.#paused || (this.#unread?.length ?? 0) < MAX_AHEAD_BYTES) return
    this.#paused = true
    this.#socket.pause()
  }

  /** Serves what has arrived. An answer that is given at once must not enter it again. */
  #read(): void {
    if (this.#reading) return
    this.#reading = true
    while (this.#unread && !this.#request && !this.#closing) if (!this.#next(this.#unread)) break
    this.#reading = false
  }

  #next(bytes: Buffer): boolean {
    this.#unread = undefined
    const { wheel, limits } = this.#context
    const key = this.#heads.keyOf(bytes)
    const repeated = this.#fast.repeat(key, bytes)
    if (repeated) return this.#answeredAtOnce(repeated)
    const head = this.#heads.read(bytes, key)
    if (head === 'other') return this.#handOver(bytes)
    const isWhole = head !== 'part' && bytes.length >= head.bytes + head.length
    if (this.#halfClosed && !isWhole) return this.#refuse('400 Bad Request')
    if (head === 'part') {
      if (++this.#pieces > MAX_PIECES && !isUnclear(bytes)) return this.#handOver(bytes)
      if (this.#pieces === 1) wheel.arm(this.#timer, limits.headTimeoutMs)
      this.#unread = bytes
      return false
    }
    this.#pieces = 0
    const end = head.bytes + head.length
    this.#unread = behindEmptyLines(bytes, end)
    if (isWhole && this.#fast.whole(bytes, head)) return this.#answeredAtOnce(head)
    const own = this.#heads.forCall(bytes, head)
    const request = new FastRequest(this, own)
    this.#request = request
    request.take(bytes.subarray(head.bytes, end))
    if (!request.isComplete) {
      wheel.arm(this.#timer, limits.bodyTimeoutMs)
      if (own.length <= MAX_HELD_BYTES && own.notes.decision?.key) this.#pendingHead = own
    }
    if (!this.#pendingHead) this.#context.serve(request)
    return true
  }

  #refuse(status: string): false {
    this.out.text(refusal(status, { requestId: this.mintId() }))
    this.#finish()
    return false
  }

  /** Serves the request with the pending head: its body has arrived, or will not. */
  #servePending(request: FastRequest, head: RequestHead): void {
    this.#pendingHead = undefined
    const isAnswered = request.isComplete && this.#fast.collected(head, request.chunks)
    this.#arrivals.giveBack(isAnswered)
    if (!isAnswered) return this.#context.serve(request)
    request.markAnswered()
    this.answered()
  }

  /** Waits, as after any answer, until it is written to the socket before the next request is read. */
  #answeredAtOnce(head: RequestHead): boolean {
    this.#pieces = 0
    if (this.out.isFull || this.#closing) {
      this.#request = FastRequest.answered(this, head)
      this.answered()
    } else if (!this.#unread) this.#context.wheel.arm(this.#timer, this.#context.limits.keepAliveTimeoutMs)
    return true
  }

  /** The socket's buffer is full: a client that does not read its answers is not read from either. */
  #filled(): void {
    if (this.#request || this.#closing) return
    this.#request = FastRequest.answered(this)
    this.answered()
  }

  /** The answer is written and the body has arrived: reads the next request. */
  #nextRequest(): void {
    this.#request = undefined
    this.#linger?.end()
    this.#linger = undefined
    if ((this.#context.draining || this.#halfClosed) && !this.#unread) return this.#finish()
    this.#context.wheel.arm(this.#timer, this.#context.limits.keepAliveTimeoutMs)
    if (this.#paused) {
      this.#paused = false
      this.#socket.resume()
    }
    if (this.#unread) this.#read()
  }

  #handOver(bytes: Buffer): false {
    this.out.flush()
    const { wheel, limits } = this.#context
    const headMs = this.#pieces > 1 ? Math.max(1, this.#timer.due - wheel.now()) : limits.headTimeoutMs
    this.#detach()
    this.#halfClosed?.end()
    const stream = withUnread(this.#socket, retained(bytes))
    this.#context.handOver(stream, bytes, { headMs, isNew: this.#isNew })
    stream.resume()
    return false
  }

  #detach(): void {
    this.#context.wheel.disarm(this.#timer)
    this.#context.connections.delete(this)
    this.#unread = undefined
    this.#isHandedOver = true
    this.#socket
      .off('data', this.#onData)
      .off('end', this.#onEnd)
      .off('error', this.#onError)
      .off('close', this.#onClose)
      .off('drain', this.#onDrain)
  }

  /** Ends the sending side, and lingers. */
  #finish(): void {
    this.#closing = true
    this.#halfClosed?.end()
    this.#request?.breakOff(new GatewayError('callerLeft', 'the connection has ended'))
    this.#request = undefined
    this.#pendingHead = undefined
    this.#unread = undefined
    this.out.flush()
    this.#socket.end()
    this.#socket.resume()
    this.#startLinger(this.#context.limits.keepAliveTimeoutMs)
  }

  /** Drops what arrives from now on, within the bounds of `Linger`. */
  #startLinger(slowMs: number): void {
    const { wheel } = this.#context
    wheel.disarm(this.#timer)
    this.#linger?.end()
    this.#linger = new Linger(this.#socket, wheel, slowMs)
  }

  #expired(): void {
    const request = this.#request
    if (request && !request.isComplete && !request.isAnswered) {
      if (request.isHeld) return this.#context.wheel.arm(this.#timer, this.#context.limits.bodyTimeoutMs)
      if (this.#pendingHead) this.#servePending(request, this.#pendingHead)
      return request.breakOff(bodyTooLate())
    }
    // While a call runs only its own deadline counts; the timer is set again when it is answered.
    if (request && !request.isAnswered) return
    if (request || this.#closing) return void this.#socket.destroy()
    return this.#unread ? void this.#refuse('408 Request Timeout') : this.#finish()
  }

  readonly #onEnd = (): void => {
    const request = this.#request
    if (!request) return this.#unread ? void this.#refuse('400 Bad Request') : this.#finish()
    this.#halfClosed = new HalfClosed(this.#context.wheel, () => this.#request?.probe())
    this.#unread = this.#unread && behindEmptyLines(this.#unread)
    if (request.isComplete) return
    // What is missing will not come. In the middle of an answer only the end of the connection can say so.
    if (request.isAnswered) this.#finish()
    else if (request.status === 0) this.#refuse('400 Bad Request')
    else this.cut()
  }

  // 'close' follows, and cleans up.
  readonly #onError = (): void => {}

  readonly #onClose = (): void => {
    const request = this.#request
    this.#detach()
    this.#linger?.end()
    this.#halfClosed?.end()
    this.#request = undefined
    this.out.wake()
    if (!request) return
    request.breakOff(new GatewayError('callerLeft', 'the client left before its body was complete'))
    request.onAbort?.()
  }

  readonly #onDrain = (): void => {
    this.out.wake()
    if (this.#request?.isAnswered && !this.#socket.destroyed) this.answered()
  }
}
