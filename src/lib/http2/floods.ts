/**
 * Ends peers that make more work than they ask for: streams that are reset as soon as they are begun (CVE-2023-44487, "rapid
 * reset"), and frames that ask for nothing (CVE-2019-9512, 9515 and 9518).
 */
import { ConnectionError, ENHANCE_YOUR_CALM } from './frames.ts'

/** Streams after which the shares are looked at; hedging clients reset fewer than half of theirs. */
const STREAMS = 500
/** PING, SETTINGS, PRIORITY, empty DATA and unknown frames with nothing useful between them: gRPC clients ping after each answer. */
const MAX_IDLE_FRAMES = 1000

export class Floods {
  #opened = 0
  #reset = 0
  #idleFrames = 0

  /** A request has begun. */
  opened(): void {
    this.#opened++
    this.#idleFrames = 0
  }

  /** Bytes of a body have passed, in either direction. */
  worked(): void {
    this.#idleFrames = 0
  }

  /** A stream was reset before it was answered, or refused. Throws `ConnectionError`, as the next. */
  reset(): void {
    this.#reset++
    if (this.#opened < STREAMS) return
    if (this.#reset * 2 > this.#opened) throw new ConnectionError(ENHANCE_YOUR_CALM, 'most streams are reset')
    this.#opened = this.#reset = 0
  }

  /** Time has passed: pings that keep an idle connection open are no flood. */
  rested(): void {
    this.#idleFrames = 0
  }

  /** A frame that asks for nothing. */
  idle(): void {
    if (++this.#idleFrames > MAX_IDLE_FRAMES)
      throw new ConnectionError(ENHANCE_YOUR_CALM, 'too many frames that ask for nothing')
  }
}
