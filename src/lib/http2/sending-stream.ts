/** The sending side of a stream: what the windows and the socket do not allow yet waits, in order. */
import { Condition } from '../condition.ts'
import type { FlowStream, StreamFlow } from './flow.ts'

export interface StreamWindows {
  readonly flow: StreamFlow
  readonly sendWindow: number
  readonly receiveWindow: number
}

export abstract class SendingStream implements FlowStream {
  readonly id: number
  sendWindow: number
  receiveWindow: number
  untold = 0
  readonly #flow: StreamFlow
  readonly #waiting: Uint8Array[] = []
  #hasMoved = true
  readonly #changed = new Condition()

  constructor(id: number, { flow, sendWindow, receiveWindow }: StreamWindows) {
    this.id = id
    this.#flow = flow
    this.sendWindow = sendWindow
    this.receiveWindow = receiveWindow
  }

  abstract get isReceiving(): boolean

  /** What waits is all that is still to be sent, and no trailers follow. */
  protected abstract get endsWithData(): boolean

  /** Nothing waits any more. `isEnded`: the last frame has ended the stream. */
  protected abstract sent(isEnded: boolean): void

  protected abstract get isClosed(): boolean

  /** Some bytes are not sent yet. */
  protected get isWaiting(): boolean {
    return this.#waiting.length > 0
  }

  /** The peer has let us send some of it since the last call. */
  protected hasMoved(): boolean {
    const hasMoved = this.#hasMoved
    this.#hasMoved = false
    return hasMoved
  }

  /** Sends what is allowed, and keeps the rest. False: there is a rest; `drained` tells when it is gone. */
  protected sendPiece(bytes: Uint8Array): boolean {
    const sent = this.isWaiting ? 0 : this.#sendNow(bytes, false)
    if (sent < bytes.length) this.#waiting.push(bytes.subarray(sent))
    return !this.isWaiting
  }

  /** Sends the last bytes, of which there are some. */
  protected sendLast(bytes: Uint8Array): void {
    this.#waiting.push(bytes)
    this.flush()
  }

  /** Ends the stream behind what was sent. */
  protected sendEnd(): void {
    this.#flow.send(this, NOTHING, true)
  }

  /** Resolves when nothing waits any more, or the stream is closed. */
  async drained(): Promise<void> {
    while (this.isWaiting && !this.isClosed) await this.#changed.wait()
  }

  flush(): void {
    const waiting = this.#waiting
    while (waiting.length > 0) {
      const bytes = waiting[0] as Uint8Array
      const isLast = waiting.length === 1 && this.endsWithData
      const sent = this.#sendNow(bytes, isLast)
      if (sent < bytes.length) {
        waiting[0] = bytes.subarray(sent)
        return
      }
      waiting.shift()
      if (isLast) return this.sent(true)
    }
    this.#changed.notify()
    this.sent(false)
  }

  /** Nothing more is sent. */
  protected dropWaiting(): void {
    this.#waiting.length = 0
    this.#changed.notify()
  }

  #sendNow(bytes: Uint8Array, isLast: boolean): number {
    const allowed = Math.min(bytes.length, this.sendWindow)
    // The rest goes out when the peer opens the window.
    if (allowed <= 0) return 0
    const isWhole = allowed === bytes.length
    const sent = this.#flow.send(this, isWhole ? bytes : bytes.subarray(0, allowed), isLast && isWhole)
    this.sendWindow -= sent
    if (sent > 0) this.#hasMoved = true
    if (sent < allowed) this.#flow.waits(this)
    return sent
  }
}

const NOTHING = new Uint8Array(0)
