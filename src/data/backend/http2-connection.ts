/**
 * One connection of the HTTP/2 client (RFC 9113). Its streams are counted against the limit that the backend states. Whatever the
 * backend sends, it ends at most this connection, and what it makes us keep is bounded.
 */
import type { Socket } from 'node:net'
import type { GatewayError } from '../../core/errors.ts'
import { Floods } from '../../lib/http2/floods.ts'
import { ConnectionFlow, type FlowStream, grow } from '../../lib/http2/flow.ts'
import { FrameWriter } from '../../lib/http2/frame-writer.ts'
import * as h2 from '../../lib/http2/frames.ts'
import { HpackDecoder } from '../../lib/http2/hpack-decoder.ts'
import { HpackTableEncoder } from '../../lib/http2/hpack-table-encoder.ts'
import type { FieldBlock } from '../../lib/http2/payloads.ts'
import { type FrameHandler, PeerFrames } from '../../lib/http2/peer-frames.ts'
import { PeerSettings } from '../../lib/http2/settings.ts'
import { openHttp2Socket } from '../../lib/tls/http2-socket.ts'
import { timer, type Wheel } from '../../lib/wheel.ts'
import { WriteBatcher } from '../../lib/write-batcher.ts'
import { checkedLookup } from './checked-lookup.ts'
import type { ClientOptions } from './exchange.ts'
import { connectionFault, connectTimeout, lostFault, notNegotiated } from './http2-errors.ts'
import { COMMON_FIELDS, SETTINGS, WINDOWS } from './http2-settings.ts'
import {
  type AnswerListener,
  type ClientStreamConnection,
  Http2ClientStream,
  type Http2Request,
} from './http2-stream.ts'
import { ClientStreamIds } from './http2-stream-ids.ts'
import { Http2Watch, type WatchedConnection, type WatchOptions } from './http2-watch.ts'
import type { OriginAddress } from './origins.ts'
import { MAX_HEAD_BYTES } from './reply-head.ts'

const { ConnectionError } = h2

/** The owner of a connection. */
export interface Http2ConnectionOwner {
  /** The connection has room for another stream: for the first time, or again. */
  free(connection: Http2ClientConnection): void
  /** The connection takes no more streams; those it has go on. */
  closing(connection: Http2ClientConnection): void
  /** The connection is closed; with the error only where it was never established. */
  gone(connection: Http2ClientConnection, error: GatewayError | undefined): void
}

/** Answers to PING and SETTINGS that a backend may leave unread while it asks for more (CVE-2019-9512 and 9515). */
const MAX_UNREAD_ANSWERS = 1000
/** How long a backend may take to read the end of a connection. */
const CLOSE_MS = 10_000

/** The memory that all connections are read into: what is kept of an answer is copied. */
const ARRIVED = Buffer.allocUnsafeSlow(64 * 1024)

const WRITES = new WriteBatcher()

export class Http2ClientConnection implements FrameHandler, ClientStreamConnection, WatchedConnection {
  readonly address: OriginAddress
  readonly flow: ConnectionFlow
  readonly watch: Http2Watch
  readonly #owner: Http2ConnectionOwner
  readonly #wheel: Wheel
  readonly #socket: Socket
  readonly #writer: FrameWriter
  readonly #frames = new PeerFrames(this, { maxHeadBytes: MAX_HEAD_BYTES, isClient: false })
  readonly #encoder = new HpackTableEncoder(COMMON_FIELDS)
  readonly #decoder = new HpackDecoder({ maxListBytes: MAX_HEAD_BYTES })
  readonly #floods = new Floods()
  readonly #peer = new PeerSettings({ isClient: false })
  /** Until the settings of the backend have come, and from the end on. */
  readonly #timer = timer(() => this.#late())
  readonly #streams = new Map<number, Http2ClientStream>()
  readonly #ids = new ClientStreamIds()
  #unreadAnswers = 0
  /** The preface was sent; the settings of the backend have come; no more streams; and nothing any more. */
  #isBegun = false
  #isOpen = false
  #isClosing = false
  #isOver = false
  #error: Error | undefined
  /** The code with which the backend said goodbye, if it did. */
  #goaway: number | undefined

  constructor(
    address: OriginAddress,
    options: ClientOptions,
    parts: { owner: Http2ConnectionOwner; wheel: Wheel; watch: WatchOptions },
  ) {
    this.address = address
    this.#owner = parts.owner
    this.#wheel = parts.wheel
    this.watch = new Http2Watch(this, parts)
    const { scheme, host, port } = address
    const lookup = checkedLookup(options.refuse, port)
    const onread = { buffer: ARRIVED, callback: (size: number) => this.#read(ARRIVED.subarray(0, size)) }
    const to = { isSecure: scheme === 'https', host, port, lookup, tls: options.tls, onread }
    this.#socket = openHttp2Socket(to, (isHttp2) => this.#connected(isHttp2))
      .on('error', (error) => (this.#error ??= error))
      .once('close', () => this.#closed())
    this.#writer = new FrameWriter(this.#socket, WRITES)
    this.flow = new ConnectionFlow(this.#writer, this.#floods, WINDOWS)
    this.#wheel.arm(this.#timer, options.connectTimeoutMs)
  }

  get backend(): string {
    return this.address.authority
  }

  /** Whether it can take another stream now. */
  get isFree(): boolean {
    return this.#streams.size < this.limit && !this.#isClosing && !this.watch.isDoubted
  }

  /** The most streams at a time, as the backend says. */
  get limit(): number {
    return this.#isOpen ? this.#peer.maxStreams : 0
  }

  get running(): number {
    return this.#streams.size
  }

  get started(): number {
    return this.#ids.count
  }

  /** Begins a stream. */
  request({ fields, ...kind }: Http2Request, listener: AnswerListener): Http2ClientStream {
    const id = this.#ids.take()
    const windows = { sendWindow: this.#peer.initialWindow, receiveWindow: WINDOWS.stream }
    const stream = new Http2ClientStream(id, { connection: this, listener, ...kind, ...windows })
    this.#streams.set(id, stream)
    this.#floods.sent(1)
    this.#writer.fields(id, this.#encoder.encode(fields), kind.isEnded)
    if (this.#ids.isUsedUp) this.close()
    return stream
  }

  /** Takes no more streams, and closes when those it has are over. */
  close(): void {
    if (!this.#isOpen) return this.destroy()
    this.#stopTaking()
    if (this.#streams.size === 0) this.#end(h2.NO_ERROR)
  }

  /** Ends all streams. */
  destroy(error?: Error): void {
    this.#error ??= error
    if (this.#isBegun) this.#end(error instanceof ConnectionError ? error.code : h2.NO_ERROR)
    else this.#socket.destroy()
  }

  taken(stream: FlowStream, bytes: number): void {
    this.flow.takenOf(stream, bytes)
  }

  sendReset({ id }: FlowStream, code: number): void {
    this.#writer.numbers(h2.RST_STREAM, 0, id, [code])
  }

  closed(stream: FlowStream, isCut: boolean): void {
    this.#streams.delete(stream.id)
    this.flow.forget(stream)
    if (isCut) this.#ids.cut(stream.receiveWindow)
    if (isCut && this.#writer.isFull) this.watch.blocked()
    if (this.isFree) this.#owner.free(this)
    else if (this.#isClosing && this.#streams.size === 0) this.#end(h2.NO_ERROR)
  }

  sendPing(payload: Buffer): void {
    this.#writer.frame(h2.PING, 0, 0, payload)
  }

  trusted(): void {
    if (this.isFree) this.#owner.free(this)
  }

  looked(): void {
    this.#floods.rested()
  }

  // What the backend sends.

  head({ id, isEnd, bytes }: FieldBlock): void {
    const { fields, isCut } = this.#decoder.decode(bytes)
    const stream = this.#streams.get(id)
    if (!stream) return this.#strayed(id)
    this.#floods.worked()
    this.watch.heard()
    if (isCut) stream.garbled(`fields of more than ${MAX_HEAD_BYTES} bytes`)
    else stream.head(fields, isEnd)
  }

  data(id: number, data: Buffer, { bytes, isEnd }: { bytes: number; isEnd: boolean }): void {
    if (data.length === 0 && !isEnd) this.#floods.idle()
    else this.#floods.worked()
    this.flow.received(bytes)
    this.flow.taken(bytes)
    const stream = this.#streams.get(id)
    if (!stream) return this.#ids.expectCut(id, bytes)
    this.watch.heard()
    stream.data(data, bytes, isEnd)
  }

  windowUpdate(id: number, bytes: number): void {
    this.#floods.granted()
    if (id === 0) return this.flow.grow(bytes)
    const stream = this.#streams.get(id)
    if (!stream) return this.#ids.expectBegun(id)
    const error = grow(stream, bytes)
    if (error !== h2.NO_ERROR) stream.garbled('a window that cannot be', error)
  }

  reset(id: number, code: number): void {
    const stream = this.#streams.get(id)
    if (stream) stream.reset(code)
    else this.#strayed(id)
  }

  settings(flags: number, payload: Buffer): void {
    this.#floods.idle()
    const growth = this.#peer.take(flags, payload)
    if (flags & h2.ACK) return
    this.#writer.numbers(h2.SETTINGS, h2.ACK, 0, [])
    this.#answered()
    this.#encoder.resize(this.#peer.leastTableBytes)
    this.#encoder.resize(this.#peer.tableBytes)
    if (growth !== 0) this.#grow(growth)
    if (!this.#isOpen) this.#opened()
    if (!this.#isClosing) this.#owner.free(this)
  }

  ping(flags: number, payload: Buffer): void {
    this.#floods.idle()
    if (flags & h2.ACK) return this.watch.answered(payload)
    this.#writer.frame(h2.PING, h2.ACK, 0, payload)
    this.#answered()
  }

  goAway(lastStream: number, code: number): void {
    this.#floods.idle()
    this.#goaway = code
    this.#stopTaking()
    for (const stream of [...this.#streams.values()]) if (stream.id > lastStream) stream.ignored()
    if (this.#streams.size === 0) this.#end(h2.NO_ERROR)
  }

  priority(): void {
    this.#floods.idle()
  }

  other(): void {
    this.#floods.idle()
  }

  #connected(isHttp2: boolean): void {
    if (!isHttp2) return this.destroy(notNegotiated(this.backend))
    this.#isBegun = true
    this.#socket
      // Over TLS; in cleartext there are no such events.
      .on('data', (chunk: Buffer) => this.#read(chunk))
      .on('drain', () => this.#drained())
      .on('end', () => this.#socket.destroy())
      .write(h2.PREFACE)
    this.#writer.frame(h2.SETTINGS, 0, 0, SETTINGS)
    this.flow.open()
  }

  /** The first settings of the backend say that it speaks HTTP/2. */
  #opened(): void {
    this.#isOpen = true
    this.#wheel.disarm(this.#timer)
    this.watch.begin()
  }

  /** Returns true: net goes on reading into the same memory. */
  #read(chunk: Buffer): true {
    if (this.#isOver) return true
    try {
      this.#frames.read(chunk)
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error
      this.destroy(error)
    }
    return true
  }

  /** A frame of a stream that is over: it may have been on its way when the stream was cut. */
  #strayed(id: number): void {
    this.#ids.expectBegun(id)
    this.#floods.idle()
  }

  #drained(): void {
    this.#unreadAnswers = 0
    this.watch.drained()
    this.flow.flush()
  }

  #answered(): void {
    if (this.#writer.isFull && ++this.#unreadAnswers > MAX_UNREAD_ANSWERS)
      throw new ConnectionError(h2.ENHANCE_YOUR_CALM, 'too many frames whose answers are not read')
  }

  #grow(bytes: number): void {
    for (const stream of [...this.#streams.values()]) {
      const error = grow(stream, bytes)
      if (error !== h2.NO_ERROR) throw new ConnectionError(error, 'a window is too large')
    }
  }

  #stopTaking(): void {
    if (this.#isClosing) return
    this.#isClosing = true
    if (this.#isOpen) this.#owner.closing(this)
  }

  /** Says goodbye, and closes the connection (RFC 9113, section 6.8). */
  #end(code: number): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#stopTaking()
    this.#break()
    this.watch.end()
    this.#writer.numbers(h2.GOAWAY, 0, 0, [0, code])
    this.#writer.flush()
    this.#socket.destroySoon()
    this.#wheel.arm(this.#timer, CLOSE_MS)
  }

  #late(): void {
    if (!this.#isOver && !this.#isOpen) this.destroy(connectTimeout(this.backend))
    else this.#socket.destroy()
  }

  #break(): void {
    const end = { error: this.#error, goaway: this.#goaway }
    for (const stream of [...this.#streams.values()]) stream.broken(lostFault(end, this.backend))
  }

  #closed(): void {
    this.#isOver = true
    this.#stopTaking()
    this.#break()
    this.watch.end()
    this.#wheel.disarm(this.#timer)
    this.#owner.gone(this, this.#isOpen ? undefined : connectionFault(this.#error, this.backend))
  }
}
