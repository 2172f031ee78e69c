/**
 * Ends peers that make more work than they ask for: streams that are reset as soon as they are begun (CVE-2023-44487, "rapid
 * reset"), frames that ask for nothing (CVE-2019-9512, 9515 and 9518), and windows that grow again and again without need.
 */
import { ConnectionError, ENHANCE_YOUR_CALM } from './frames.ts'

/** Streams after which the shares are looked at; hedging clients reset fewer than half of theirs. */
const STREAMS = 500
/** PING, SETTINGS, PRIORITY, empty DATA and unknown frames with nothing useful between them: gRPC clients ping after each answer. */
const MAX_IDLE_FRAMES = 1000
/** Peers let us send more for the stream and for the connection, some for each piece of ours and some when it was read as well. */
const GRANTS_PER_PIECE = 4

export class Floods {
  #opened = 0
  #reset = 0
  #idleFrames = 0
  /** WINDOW_UPDATE frames beyond those that what we have sent may have. */
  #grants = 0

  /** A request has begun: clients with large windows say so of each stream. */
  opened(): void {
    this.#opened++
    this.#idleFrames = 0
    this.#grants -= GRANTS_PER_PIECE
  }

  /** Bytes of a body have come. */
  worked(): void {
    this.#idleFrames = 0
  }

  /** We have sent so many pieces of requests or answers that a peer may read one by one. */
  sent(pieces: number): void {
    this.#idleFrames = 0
    this.#grants -= GRANTS_PER_PIECE * pieces
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
    this.#grants = Math.min(0, this.#grants)
  }

  /** The peer lets us send more. */
  granted(): void {
    if (++this.#grants > MAX_IDLE_FRAMES)
      throw new ConnectionError(ENHANCE_YOUR_CALM, 'too many frames that let us send more')
  }

  /** A frame that asks for nothing. */
  idle(): void {
    if (++this.#idleFrames > MAX_IDLE_FRAMES)
      throw new ConnectionError(ENHANCE_YOUR_CALM, 'too many frames that ask for nothing')
  }
}
