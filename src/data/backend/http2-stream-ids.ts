/** Which streams of a connection were begun (RFC 9113, section 5.1.1), and what may still come of those that are over. */
import { ConnectionError, MAX_STREAM_ID, PROTOCOL_ERROR, STREAM_CLOSED } from '../../lib/http2/frames.ts'

export class ClientStreamIds {
  #next = 1
  /** Bytes that may still be on their way to streams that were cut. */
  #cutBytes = 0

  /** Streams ever begun. */
  get count(): number {
    return this.#next >> 1
  }

  /** There is no id for another stream. */
  get isUsedUp(): boolean {
    return this.#next > MAX_STREAM_ID
  }

  take(): number {
    const id = this.#next
    this.#next += 2
    return id
  }

  /** We have cut a stream on which the backend was allowed so many bytes. */
  cut(bytes: number): void {
    this.#cutBytes += bytes
  }

  /** Throws `ConnectionError` for a stream that was not begun, as the next. */
  expectBegun(id: number): void {
    if (id % 2 === 0 || id >= this.#next)
      throw new ConnectionError(PROTOCOL_ERROR, `stream ${id} was not begun`)
  }

  /** So many bytes have come on a stream that is over. Throws where they are more than can have been on their way. */
  expectCut(id: number, bytes: number): void {
    this.expectBegun(id)
    this.#cutBytes -= bytes
    if (this.#cutBytes < 0) throw new ConnectionError(STREAM_CLOSED, `a body on stream ${id}, which is over`)
  }
}
