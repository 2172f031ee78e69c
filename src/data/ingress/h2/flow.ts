/** The flow control of one connection, in both directions (RFC 9113, section 5.2); each stream has windows of its own besides. */
import {
  ConnectionError,
  DEFAULT_WINDOW,
  FLOW_CONTROL_ERROR,
  MAX_WINDOW,
  NO_ERROR,
  PROTOCOL_ERROR,
  WINDOW_UPDATE,
} from '../../../lib/http2/frames.ts'
import type { Floods } from './floods.ts'
import type { FrameWriter } from './frame-writer.ts'
import { STREAM_WINDOW } from './settings.ts'
import type { Sender, StreamFlow } from './stream-connection.ts'

/** Bytes that may be on their way to all streams. */
const RECEIVE_WINDOW = 1024 * 1024
/** What was taken is told to the client in steps of so much. */
const STEP = RECEIVE_WINDOW / 4
const STREAM_STEP = STREAM_WINDOW / 4

export class ConnectionFlow implements StreamFlow {
  readonly #writer: FrameWriter
  readonly #floods: Floods
  #sendWindow = DEFAULT_WINDOW
  #receiveWindow = RECEIVE_WINDOW
  #untaken = 0
  /** Streams that wait for the window, or for the socket. */
  #waiting = new Set<Sender>()

  constructor(writer: FrameWriter, floods: Floods) {
    this.#writer = writer
    this.#floods = floods
  }

  /** Tells the client of the window, which is larger than it takes for granted. */
  open(): void {
    this.#writer.numbers(WINDOW_UPDATE, 0, 0, [RECEIVE_WINDOW - DEFAULT_WINDOW])
  }

  /** Sends as much as window and socket allow, and returns how much that was. */
  send(stream: Sender, bytes: Uint8Array, isLast: boolean): number {
    const { length } = bytes
    if (length > 0 && this.#writer.isFull) return 0
    const allowed = Math.min(length, this.#sendWindow)
    if (allowed <= 0 && length > 0) return 0
    const isWhole = allowed === length
    this.#writer.data(stream.id, isWhole ? bytes : bytes.subarray(0, allowed), isLast && isWhole)
    this.#sendWindow -= allowed
    this.#floods.worked()
    return allowed
  }

  waits(stream: Sender): void {
    this.#waiting.add(stream)
  }

  forget(stream: Sender): void {
    this.#waiting.delete(stream)
  }

  /** The client lets us send more. Throws `ConnectionError`, as the next. */
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

  /** So many bytes are no longer ours to keep: the client may send as many more. */
  taken(bytes: number): void {
    this.#untaken += bytes
    if (this.#untaken < STEP) return
    this.#writer.numbers(WINDOW_UPDATE, 0, 0, [this.#untaken])
    this.#receiveWindow += this.#untaken
    this.#untaken = 0
  }

  /** The same of bytes of a stream: most bodies end before their stream's window is worth a frame. */
  takenOf(stream: Sender, bytes: number): void {
    this.taken(bytes)
    if (!stream.isRemoteOpen || stream.isAnswered) return
    stream.untold += bytes
    if (stream.untold < STREAM_STEP) return
    this.#writer.numbers(WINDOW_UPDATE, 0, stream.id, [stream.untold])
    stream.receiveWindow += stream.untold
    stream.untold = 0
  }

  /** Lets streams send what they could not, each in its turn. */
  flush(): void {
    const waiting = [...this.#waiting]
    this.#waiting = new Set()
    let next = 0
    while (next < waiting.length && this.#sendWindow > 0 && !this.#writer.isFull)
      (waiting[next++] as Sender).flush()
    // Those whose turn did not come are the first the next time.
    if (next < waiting.length) this.#waiting = new Set([...waiting.slice(next), ...this.#waiting])
  }
}

/** The client lets a stream send more, or less. Returns the code of an error where it may not. */
export function grow(stream: Sender, bytes: number): number {
  stream.sendWindow += bytes
  if (bytes === 0) return PROTOCOL_ERROR
  if (stream.sendWindow > MAX_WINDOW) return FLOW_CONTROL_ERROR
  stream.flush()
  return NO_ERROR
}
