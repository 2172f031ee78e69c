/** Which streams a client has opened (RFC 9113, section 5.1.1), and which of them were closed a while ago at most. */
import { ConnectionError, PROTOCOL_ERROR, STREAM_CLOSED } from '../../../lib/http2/frames.ts'

/** So many closed streams are remembered: frames that were on their way when a stream was closed are no error. */
const REMEMBERED = 256

export class StreamIds {
  /** The highest id that was opened. */
  last = 0
  /** Closed streams in the order in which they were closed, and whether it was by us. */
  readonly #closed = new Map<number, boolean>()

  /** Throws `ConnectionError` for an id that no client may use, or, if it `mustBeOld`, one that was not opened yet. */
  check(id: number, mustBeOld = false): void {
    if (id === 0 || id % 2 === 0 || (mustBeOld && id > this.last))
      throw new ConnectionError(PROTOCOL_ERROR, `stream ${id}`)
  }

  /** A head has come on a stream that is not open. False: it was on its way when we reset the stream. */
  open(id: number): boolean {
    if (id > this.last) {
      this.last = id
      return true
    }
    if (this.isReset(id)) return false
    if (this.#closed.has(id)) throw new ConnectionError(STREAM_CLOSED, `stream ${id} is closed`)
    throw new ConnectionError(PROTOCOL_ERROR, `stream ${id} comes behind ${this.last}`)
  }

  /** `isReset`: by us, before the client has sent all. */
  closed(id: number, isReset: boolean): void {
    if (!this.#closed.has(id)) this.#closed.set(id, isReset)
    if (this.#closed.size <= REMEMBERED) return
    const [oldest] = this.#closed.keys()
    this.#closed.delete(oldest as number)
  }

  /** What comes on this stream was on its way when we reset it. */
  isReset(id: number): boolean {
    return this.#closed.get(id) === true
  }
}
