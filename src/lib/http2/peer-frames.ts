/**
 * Reads what the peer sends on one connection: a client's preface, the form of each frame, by which it is an error of the
 * connection wherever it comes (RFC 9113, sections 3.4, 4 and 6), and heads that come in several frames. What frames mean to
 * streams is the handler's affair.
 */
import { FrameReader } from './frame-reader.ts'
import * as h2 from './frames.ts'
import { dataOf, type FieldBlock, fieldBlockOf } from './payloads.ts'

const { ConnectionError } = h2

/** May throw `ConnectionError`. What it is given of the bytes that arrived is valid until it returns. */
export interface FrameHandler {
  /** A block of fields is complete. */
  head(block: FieldBlock): void
  /** `bytes`: of the payload, padding included. */
  data(id: number, data: Buffer, frame: { readonly bytes: number; readonly isEnd: boolean }): void
  /** `id` 0: the window of the connection. */
  windowUpdate(id: number, bytes: number): void
  reset(id: number, code: number): void
  settings(flags: number, payload: Buffer): void
  ping(flags: number, payload: Buffer): void
  /** `dependsOn`: undefined where the payload is not of its length. */
  priority(id: number, dependsOn: number | undefined): void
  goAway(lastStream: number, code: number): void
  /** A frame that means nothing here. */
  other(): void
}

/** Frames that one head may come in. */
const MAX_BLOCK_FRAMES = 32

export interface PeerFramesOptions {
  /** Bytes of the field blocks of one head. */
  readonly maxHeadBytes: number
  /** The peer is a client, which begins with the preface. */
  readonly isClient: boolean
}

export class PeerFrames {
  readonly #handler: FrameHandler
  readonly #maxHeadBytes: number
  readonly #reader = new FrameReader(h2.DEFAULT_FRAME_BYTES, (...frame) => this.#frame(...frame))
  /** What has come of the preface; undefined: all of it, or none is due. */
  #preface: Buffer | undefined
  #isFirst = true
  /** A block of fields of which more is to come, what has come of it, and how much that is. */
  #block: FieldBlock | undefined
  #pieces: Buffer[] = []
  #blockBytes = 0

  constructor(handler: FrameHandler, { maxHeadBytes, isClient }: PeerFramesOptions) {
    this.#handler = handler
    this.#maxHeadBytes = maxHeadBytes
    this.#preface = isClient ? Buffer.alloc(0) : undefined
  }

  /** The peer is in the middle of the preface, of a frame or of a head. */
  get isWaiting(): boolean {
    return this.#preface !== undefined || this.#block !== undefined || this.#reader.isWaiting
  }

  /** Throws `ConnectionError`, or what the handler throws. */
  read(chunk: Buffer): void {
    const frames = this.#preface ? this.#behindPreface(this.#preface, chunk) : chunk
    if (frames) this.#reader.read(frames)
  }

  #behindPreface(before: Buffer, chunk: Buffer): Buffer | undefined {
    const bytes = before.length === 0 ? chunk : Buffer.concat([before, chunk])
    const length = Math.min(bytes.length, h2.PREFACE.length)
    if (h2.PREFACE.compare(bytes, 0, length, 0, length) !== 0)
      throw new ConnectionError(h2.PROTOCOL_ERROR, 'no preface')
    this.#preface = length < h2.PREFACE.length ? bytes : undefined
    return this.#preface ? undefined : bytes.subarray(h2.PREFACE.length)
  }

  #frame(type: number, flags: number, id: number, payload: Buffer): void {
    if (this.#isFirst && (type !== h2.SETTINGS || flags & h2.ACK))
      throw new ConnectionError(h2.PROTOCOL_ERROR, 'the first frame is not SETTINGS')
    this.#isFirst = false
    if (this.#block && (type !== h2.CONTINUATION || id !== this.#block.id))
      throw new ConnectionError(h2.PROTOCOL_ERROR, 'a head was not ended')
    const handler = this.#handler
    switch (type) {
      case h2.DATA: {
        if (id === 0) throw new ConnectionError(h2.PROTOCOL_ERROR, 'DATA on no stream')
        const isEnd = (flags & h2.END_STREAM) !== 0
        return handler.data(id, dataOf(flags, payload), { bytes: payload.length, isEnd })
      }
      case h2.HEADERS:
        return this.#headers(flags, fieldBlockOf(flags, id, payload))
      case h2.CONTINUATION:
        return this.#continuation(flags, payload)
      case h2.WINDOW_UPDATE:
        expectLength(payload, 4, 'WINDOW_UPDATE')
        return handler.windowUpdate(id, payload.readUInt32BE(0) & h2.MAX_WINDOW)
      case h2.RST_STREAM:
        expectLength(payload, 4, 'RST_STREAM')
        return handler.reset(id, payload.readUInt32BE(0))
      case h2.SETTINGS:
        expectNoStream(id, 'SETTINGS')
        return handler.settings(flags, payload)
      case h2.PING:
        expectNoStream(id, 'PING')
        expectLength(payload, 8, 'PING')
        return handler.ping(flags, payload)
      case h2.PRIORITY:
        if (id === 0) throw new ConnectionError(h2.PROTOCOL_ERROR, 'PRIORITY on no stream')
        return handler.priority(
          id,
          payload.length === 5 ? payload.readUInt32BE(0) & h2.MAX_STREAM_ID : undefined,
        )
      case h2.GOAWAY:
        expectNoStream(id, 'GOAWAY')
        if (payload.length < 8) throw new ConnectionError(h2.FRAME_SIZE_ERROR, 'GOAWAY')
        return handler.goAway(payload.readUInt32BE(0) & h2.MAX_STREAM_ID, payload.readUInt32BE(4))
      case h2.PUSH_PROMISE:
        throw new ConnectionError(h2.PROTOCOL_ERROR, 'nothing may be promised')
      default:
        // Unknown types are for extensions (RFC 9113, section 5.5).
        return handler.other()
    }
  }

  #headers(flags: number, block: FieldBlock): void {
    if (flags & h2.END_HEADERS) return this.#handler.head(block)
    this.#block = block
    this.#pieces = [Buffer.from(block.bytes)]
    this.#blockBytes = block.bytes.length
  }

  #continuation(flags: number, payload: Buffer): void {
    const block = this.#block
    if (!block) throw new ConnectionError(h2.PROTOCOL_ERROR, 'a head goes on that has not begun')
    this.#pieces.push(Buffer.from(payload))
    this.#blockBytes += payload.length
    // CVE-2024-27316 and its kin: a head without end.
    if (this.#blockBytes > this.#maxHeadBytes || this.#pieces.length > MAX_BLOCK_FRAMES)
      throw new ConnectionError(h2.ENHANCE_YOUR_CALM, 'a head is too long')
    if ((flags & h2.END_HEADERS) === 0) return
    this.#block = undefined
    this.#handler.head({ ...block, bytes: Buffer.concat(this.#pieces) })
  }
}

function expectLength({ length }: Buffer, wanted: number, name: string): void {
  if (length !== wanted) throw new ConnectionError(h2.FRAME_SIZE_ERROR, name)
}

function expectNoStream(id: number, name: string): void {
  if (id !== 0) throw new ConnectionError(h2.PROTOCOL_ERROR, `${name} on a stream`)
}
