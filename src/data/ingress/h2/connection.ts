/**
 * One HTTP/2 connection (RFC 9113). Each stream becomes an exchange; a request whose head is known to be a hit in process memory
 * is answered without a call, as at the fast door. Whatever a client sends, it ends at most its own connection, and what it makes
 * us keep is bounded.
 */
import type { Duplex } from 'node:stream'
import { Floods } from '../../../lib/http2/floods.ts'
import { ConnectionFlow, type FlowStream, grow } from '../../../lib/http2/flow.ts'
import { FrameWriter } from '../../../lib/http2/frame-writer.ts'
import * as h2 from '../../../lib/http2/frames.ts'
import { type Decoded, HpackDecoder } from '../../../lib/http2/hpack-decoder.ts'
import type { FieldBlock } from '../../../lib/http2/payloads.ts'
import { type FrameHandler, PeerFrames } from '../../../lib/http2/peer-frames.ts'
import { PeerSettings } from '../../../lib/http2/settings.ts'
import { type Timer, timer, type Wheel } from '../../../lib/wheel.ts'
import { clientCertificate } from '../client-certificate.ts'
import type { DoorConnection } from '../door/context.ts'
import { HalfClosed } from '../half-closed.ts'
import { Linger } from '../linger.ts'
import { tooLong } from './answer-heads.ts'
import type { Http2DoorContext } from './context.ts'
import { serveStream } from './serve-stream.ts'
import { MAX_STREAMS, ownSettings, WINDOWS } from './settings.ts'
import { Http2Stream } from './stream.ts'
import type { Sender, StreamConnection } from './stream-connection.ts'
import { StreamIds } from './stream-ids.ts'

const { ConnectionError } = h2

/** Milliseconds within which a client that was asked for no more streams must have read that. */
const LEAVING_MS = 1000
const DRAIN_PING = Buffer.from('draining')

export class Http2Connection implements StreamConnection, DoorConnection, FrameHandler {
  readonly #socket: Duplex
  readonly #context: Http2DoorContext
  readonly #writer: FrameWriter
  readonly #frames: PeerFrames
  readonly #decoder: HpackDecoder
  readonly #timer: Timer
  readonly #streams = new Map<number, Http2Stream>()
  readonly #ids = new StreamIds()
  readonly #client = new PeerSettings({ isClient: true })
  readonly #floods = new Floods()
  readonly flow: ConnectionFlow
  /** Something has come since the last look. */
  #hasReceived = false
  #peer: string | undefined
  #isRetired = false
  /** No further stream is taken. */
  #isClosing = false
  #linger: Linger | undefined
  #halfClosed: HalfClosed | undefined

  /** `socket` begins with the client's preface. */
  constructor(socket: Duplex, context: Http2DoorContext) {
    this.#socket = socket
    this.#context = context
    this.#writer = new FrameWriter(socket, context.writeBatcher)
    this.#decoder = new HpackDecoder({ maxListBytes: context.limits.maxHeadBytes })
    this.flow = new ConnectionFlow(this.#writer, this.#floods, WINDOWS)
    this.#frames = new PeerFrames(this, { maxHeadBytes: context.limits.maxHeadBytes, isClient: true })
    this.#timer = timer(() => this.#look())
    context.connections.add(this)
    context.wheel.arm(this.#timer, context.limits.headTimeoutMs)
    socket
      .on('data', this.#onData)
      .on('drain', this.#onDrain)
      .on('end', this.#onEnd)
      .on('error', () => {}) // 'close' follows.
      .on('close', this.#onClose)
    this.#writer.frame(h2.SETTINGS, 0, 0, ownSettings(context.limits.maxHeadBytes))
    this.flow.open()
  }

  get peer(): string {
    return (this.#peer ??= (this.#socket as { remoteAddress?: string }).remoteAddress ?? '')
  }

  get certificate() {
    return clientCertificate(this.#socket)
  }

  get wheel(): Wheel {
    return this.#context.wheel
  }

  get bodyTimeoutMs(): number {
    return this.#context.limits.bodyTimeoutMs
  }

  /**
   * Asks the client for no more streams, answers those that it has sent until it has read that, and closes the connection: no call
   * is lost (RFC 9113, section 6.8).
   */
  retire(): void {
    if (this.#isRetired || this.#isClosing) return
    this.#isRetired = true
    this.#writer.numbers(h2.GOAWAY, 0, 0, [h2.MAX_STREAM_ID, h2.NO_ERROR])
    // Its acknowledgement is behind all that the client sent before it read the GOAWAY.
    this.#writer.frame(h2.PING, 0, 0, DRAIN_PING)
    this.#context.wheel.arm(this.#timer, LEAVING_MS)
  }

  cut(): void {
    this.#socket.destroy()
  }

  sendFields(stream: FlowStream, block: Buffer, isLast: boolean): void {
    this.#writer.fields(stream.id, block, isLast)
  }

  taken(stream: FlowStream, bytes: number): void {
    this.flow.taken(bytes)
    this.flow.takenOf(stream, bytes)
  }

  sendReset({ id }: FlowStream, code: number): void {
    this.#writer.numbers(h2.RST_STREAM, 0, id, [code])
  }

  closed(stream: Sender): void {
    this.#streams.delete(stream.id)
    this.flow.forget(stream)
    this.#ids.closed(stream.id, stream.isRemoteOpen)
    if (this.#streams.size > 0) return
    if (this.#isClosing) this.#end()
    else if (!this.#isRetired) this.#context.wheel.arm(this.#timer, this.#context.limits.keepAliveTimeoutMs)
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#linger) return this.#linger.received(chunk.length)
    this.#hasReceived = true
    try {
      this.#frames.read(chunk)
    } catch (error) {
      this.#fail(error)
    }
    // A client that does not read what it is sent is not read from either.
    if (this.#writer.isFull) this.#socket.pause()
  }

  /** A block of fields is complete: it begins a request, or ends one with trailers. */
  head(block: FieldBlock): void {
    const { id, isEnd } = block
    if (this.#linger) return
    this.#ids.check(id)
    const decoded = this.#decoder.decode(block.bytes)
    const stream = this.#streams.get(id)
    if (stream) return this.#trailersOf(stream, decoded, isEnd)
    if (!this.#ids.open(id)) return
    this.#floods.opened()
    if (this.#isClosing || this.#streams.size >= MAX_STREAMS) {
      this.#floods.reset()
      return this.#reset(id, h2.REFUSED_STREAM)
    }
    if (block.dependsOn === id) return this.#reset(id, h2.PROTOCOL_ERROR)
    if (decoded.isCut) return this.#tooLong(id, isEnd)
    this.#request(id, decoded.fields, isEnd)
  }

  #trailersOf(stream: Http2Stream, { fields }: Decoded, isEnd: boolean): void {
    if (!stream.isRemoteOpen) return this.#abort(stream, h2.STREAM_CLOSED)
    const hasPseudo = fields.some((text, i) => i % 2 === 0 && text.startsWith(':'))
    if (!isEnd || hasPseudo || !stream.remoteEnded()) this.#abort(stream, h2.PROTOCOL_ERROR)
  }

  #request(id: number, fields: readonly string[], isEnd: boolean): void {
    const heads = this.#context.known(this).http2Heads
    const head = heads.find(fields)
    if ('malformed' in head || (isEnd && (head.length ?? 0) > 0)) return this.#reset(id, h2.PROTOCOL_ERROR)
    const stream = new Http2Stream(id, head, {
      connection: this,
      fields,
      mintId: this.#context.mintId,
      isEnded: isEnd,
      sendWindow: this.#client.initialWindow,
      receiveWindow: WINDOWS.stream,
    })
    if (this.#streams.size === 0 && !this.#isRetired)
      this.#context.wheel.arm(this.#timer, this.#context.limits.keepAliveTimeoutMs)
    this.#streams.set(id, stream)
    serveStream(stream, () => heads.forCall(fields, head), this.#context)
  }

  data(id: number, data: Buffer, { bytes, isEnd }: { bytes: number; isEnd: boolean }): void {
    if (this.#linger) return
    if (data.length === 0 && !isEnd) this.#floods.idle()
    else this.#floods.worked()
    this.flow.received(bytes)
    const stream = this.#streams.get(id)
    if (!stream) {
      this.flow.taken(bytes)
      if (this.#ids.isReset(id)) return
      this.#ids.check(id, true)
      return this.#writer.numbers(h2.RST_STREAM, 0, id, [h2.STREAM_CLOSED])
    }
    const refused = !stream.isRemoteOpen
      ? h2.STREAM_CLOSED
      : bytes > stream.receiveWindow
        ? h2.FLOW_CONTROL_ERROR
        : h2.NO_ERROR
    if (refused !== h2.NO_ERROR) {
      this.flow.taken(bytes)
      return this.#abort(stream, refused)
    }
    if (!stream.received(data, bytes) || (isEnd && !stream.remoteEnded()))
      this.#abort(stream, h2.PROTOCOL_ERROR)
  }

  windowUpdate(id: number, bytes: number): void {
    this.#floods.granted()
    const stream = this.#streams.get(id)
    if (id === 0) return this.flow.grow(bytes)
    if (!stream) return this.#ids.check(id, true)
    const error = grow(stream, bytes)
    if (error !== h2.NO_ERROR) this.#abort(stream, error)
  }

  reset(id: number): void {
    this.#ids.check(id, true)
    this.#ids.closed(id, false)
    const stream = this.#streams.get(id)
    if (!stream) return this.#floods.idle()
    if (!stream.isAnswered) this.#floods.reset()
    stream.aborted()
  }

  settings(flags: number, payload: Buffer): void {
    this.#floods.idle()
    const growth = this.#client.take(flags, payload)
    if (flags & h2.ACK) return
    this.#writer.numbers(h2.SETTINGS, h2.ACK, 0, [])
    this.#writer.hasShrunkTable ||= this.#client.leastTableBytes < h2.DEFAULT_TABLE_BYTES
    if (growth === 0) return
    for (const stream of [...this.#streams.values()]) {
      const error = grow(stream, growth)
      if (error !== h2.NO_ERROR) throw new ConnectionError(error, 'a window is too large')
    }
  }

  ping(flags: number, payload: Buffer): void {
    this.#floods.idle()
    if ((flags & h2.ACK) === 0) return this.#writer.frame(h2.PING, h2.ACK, 0, payload)
    if (this.#isRetired && payload.equals(DRAIN_PING)) this.#close()
  }

  /** What it says is obsolete (RFC 9113, section 5.3.2). */
  priority(id: number, dependsOn: number | undefined): void {
    this.#floods.idle()
    if (dependsOn !== undefined && dependsOn !== id) return
    const stream = this.#streams.get(id)
    const code = dependsOn === undefined ? h2.FRAME_SIZE_ERROR : h2.PROTOCOL_ERROR
    if (stream) return this.#abort(stream, code)
    // A stream that is not open yet cannot be reset.
    if (id > this.#ids.last) throw new ConnectionError(code, 'PRIORITY')
    this.#reset(id, code)
  }

  goAway(): void {
    this.#floods.idle()
  }

  other(): void {
    this.#floods.idle()
  }

  #tooLong(id: number, isEnd: boolean): void {
    this.#writer.fields(id, tooLong(this.#context.mintId()), true)
    if (!isEnd) this.#reset(id, h2.NO_ERROR)
    this.#ids.closed(id, false)
  }

  /** What a client makes us reset costs as much as what it resets itself (CVE-2025-8671, "MadeYouReset"). */
  #abort(stream: Http2Stream, code: number): void {
    if (!stream.isAnswered) this.#floods.reset()
    this.#reset(stream.id, code)
    stream.aborted()
  }

  #reset(id: number, code: number): void {
    this.#writer.numbers(h2.RST_STREAM, 0, id, [code])
    this.#ids.closed(id, true)
  }

  #fail(error: unknown): void {
    const isTheirs = error instanceof ConnectionError
    this.#sayGoodbye(isTheirs ? error.code : h2.INTERNAL_ERROR)
    for (const stream of [...this.#streams.values()]) stream.aborted()
    this.#end()
    if (!isTheirs)
      this.#context.log.error('http2.bug', { error: String(error instanceof Error ? error.stack : error) })
  }

  #sayGoodbye(code: number): void {
    this.#writer.numbers(h2.GOAWAY, 0, 0, [this.#ids.last, code])
    this.#isClosing = true
  }

  /** Closes the connection behind the streams that are open. */
  #close(): void {
    if (!this.#isClosing) this.#sayGoodbye(h2.NO_ERROR)
    if (this.#streams.size === 0) this.#end()
  }

  /** Ends the sending side, and drops what still comes: a reset would lose what the client has not read. */
  #end(): void {
    if (this.#linger) return
    this.#writer.flush()
    this.#socket.end()
    this.#socket.resume()
    this.wheel.disarm(this.#timer)
    this.#halfClosed?.end()
    this.#linger = new Linger(this.#socket, this.wheel, this.#context.limits.keepAliveTimeoutMs)
  }

  /** Ends what has stalled, and the connection if it is idle. */
  #look(): void {
    const { wheel, limits } = this.#context
    if (this.#frames.isWaiting && !this.#hasReceived) return this.cut()
    this.#hasReceived = false
    this.#floods.rested()
    if (this.#streams.size === 0 || this.#isRetired) this.#close()
    for (const stream of [...this.#streams.values()]) if (stream.isStalled) stream.cancel()
    if (!this.#linger) wheel.arm(this.#timer, limits.keepAliveTimeoutMs)
  }

  readonly #onDrain = (): void => {
    if (!this.#linger) this.flow.flush()
    if (!this.#writer.isFull) this.#socket.resume()
  }

  /** The client sends nothing more. It may still read: if it has left, its system answers a PING with a reset, at which the next fails. */
  readonly #onEnd = (): void => {
    for (const stream of [...this.#streams.values()]) if (stream.isRemoteOpen) stream.aborted()
    if (this.#streams.size === 0) return this.#end()
    this.#isClosing = true
    const ping = () => this.#writer.frame(h2.PING, 0, 0, DRAIN_PING)
    this.#halfClosed = new HalfClosed(this.wheel, ping)
  }

  readonly #onClose = (): void => {
    this.#context.connections.delete(this)
    for (const stream of [...this.#streams.values()]) stream.aborted()
    // Behind the last stream, whose end sets the timer of an idle connection.
    this.wheel.disarm(this.#timer)
    this.#halfClosed?.end()
    this.#linger?.end()
  }
}
