/** The flow control of one connection, in both directions (RFC 9113, section 5.2); each stream has windows of its own besides. */
import type { Floods } from './floods.ts'
import type { FrameWriter } from './frame-writer.ts'
import {
  ConnectionError,
  DEFAULT_WINDOW,
  FLOW_CONTROL_ERROR,
  MAX_WINDOW,
  NO_ERROR,
  PROTOCOL_ERROR,
  WINDOW_UPDATE,
} from './frames.ts'

/** A stream as the flow control sees it. */
export interface FlowStream {
  readonly id: number
  /** More of what the peer sends on it is wanted. */
  readonly isReceiving: boolean
  /** Bytes that the peer lets us send, and that we let it send. */
  sendWindow: number
  receiveWindow: number
  /** Bytes that were taken, and by which the peer was not told yet that the window grows. */
  untold: number
  /** The windows allow more, or the socket does. */
  flush(): void
}

/** The connection's part in what a stream sends. */
export interface StreamFlow {
  /** Sends as much as the connection's window and the socket allow; returns how much that was. */
  send(stream: FlowStream, bytes: Uint8Array, isLast: boolean): number
  /** The stream waits for the connection's window, or for the socket. */
  waits(stream: FlowStream): void
}

/** Bytes that may be on their way to us, on all streams together and on one. */
export interface ReceiveWindows {
  readonly connection: number
  readonly stream: number
}

/** A sender's frame is read in pieces of this size: Go's client lets us send more behind each 4 KiB that it has read. */
const READ_BYTES = 4096
/** The peer is told of what was taken when it is so much of a window. */
const STEP = 1 / 4

export class ConnectionFlow implements StreamFlow {
  readonly #writer: FrameWriter
  readonly #floods: Floods
  readonly #windows: ReceiveWindows
  #sendWindow = DEFAULT_WINDOW
  #receiveWindow: number
  #untaken = 0
  /** Streams that wait for the window, or for the socket. */
  #waiting = new Set<FlowStream>()

  constructor(writer: FrameWriter, floods: Floods, windows: ReceiveWindows) {
    this.#writer = writer
    this.#floods = floods
    this.#windows = windows
    this.#receiveWindow = windows.connection
  }

  /** Tells the peer of the window, which is larger than it takes for granted. */
  open(): void {
    this.#writer.numbers(WINDOW_UPDATE, 0, 0, [this.#windows.connection - DEFAULT_WINDOW])
  }

  /** Sends as much as window and socket allow, and returns how much that was. */
  send(stream: FlowStream, bytes: Uint8Array, isLast: boolean): number {
    const { length } = bytes
    if (length > 0 && this.#writer.isFull) return 0
    const allowed = Math.min(length, this.#sendWindow)
    if (allowed <= 0 && length > 0) return 0
    const isWhole = allowed === length
    this.#writer.data(stream.id, isWhole ? bytes : bytes.subarray(0, allowed), isLast && isWhole)
    this.#sendWindow -= allowed
    this.#floods.sent(Math.ceil(allowed / READ_BYTES))
    return allowed
  }

  waits(stream: FlowStream): void {
    this.#waiting.add(stream)
  }

  forget(stream: FlowStream): void {
    this.#waiting.delete(stream)
  }

  /** The peer lets us send more. Throws `ConnectionError`, as the next. */
  grow(bytes: number): void {
    if (bytes === 0) throw new ConnectionError(PROTOCOL_ERROR, 'a window grows by nothing')
    this.#sendWindow += bytes
    if (this.#sendWindow > MAX_WINDOW) throw new ConnectionError(FLOW_CONTROL_ERROR, 'a window is too large')
    this.flush()
  }

  received(bytes: number): void {
    this.#receiveWindow -= bytes
    if (this.#receiveWindow < 0) throw new ConnectionError(FLOW_CONTROL_ERROR, 'beyond the window')
  }

  /** The peer may send so many bytes more, on whichever stream. */
  taken(bytes: number): void {
    this.#untaken += bytes
    if (this.#untaken < this.#windows.connection * STEP) return
    this.#writer.numbers(WINDOW_UPDATE, 0, 0, [this.#untaken])
    this.#receiveWindow += this.#untaken
    this.#untaken = 0
  }

  /** The same on this stream: most bodies end before their stream's window is worth a frame. */
  takenOf(stream: FlowStream, bytes: number): void {
    if (!stream.isReceiving) return
    stream.untold += bytes
    if (stream.untold < this.#windows.stream * STEP) return
    this.#writer.numbers(WINDOW_UPDATE, 0, stream.id, [stream.untold])
    stream.receiveWindow += stream.untold
    stream.untold = 0
  }

  /** Lets streams send what they could not, each in its turn. */
  flush(): void {
    if (this.#waiting.size === 0) return
    const waiting = [...this.#waiting]
    this.#waiting = new Set()
    let next = 0
    while (next < waiting.length && this.#sendWindow > 0 && !this.#writer.isFull)
      (waiting[next++] as FlowStream).flush()
    // Those whose turn did not come are the first the next time.
    if (next < waiting.length) this.#waiting = new Set([...waiting.slice(next), ...this.#waiting])
  }
}

/** The peer lets a stream send more, or less. Returns the code of an error where it may not. */
export function grow(stream: FlowStream, bytes: number): number {
  stream.sendWindow += bytes
  if (bytes === 0) return PROTOCOL_ERROR
  if (stream.sendWindow > MAX_WINDOW) return FLOW_CONTROL_ERROR
  stream.flush()
  return NO_ERROR
}
