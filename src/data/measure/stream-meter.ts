/** Measures one generation while its pieces pass, for the scaler. Pieces are events of the stream: nothing is parsed. */
import type { StreamCounts } from './stream-counts.ts'

export interface StreamedCall {
  /** Calls at the backend when this one was sent, itself included; 0 while the backend warms up: then it is not measured. */
  readonly inflightAtStart: number
  /** How long it had waited before it was sent, milliseconds. */
  readonly waitedMs: number
  /** Calls at the backend now. */
  readonly inflight: () => number
  /** Monotonic, milliseconds. */
  readonly now: () => number
}

/** Pauses that make one sample: long generations show the pace while they run. */
const STRETCH = 32

export class StreamMeter {
  readonly #counts: StreamCounts
  readonly #call: StreamedCall
  readonly #sentAt: number
  #pieces = 0
  /** When the last piece came, and how many pauses ago the present stretch began. */
  #lastAt = 0
  #stretchAt = 0
  #gaps = 0

  constructor(counts: StreamCounts, call: StreamedCall, sentAt: number) {
    this.#counts = counts
    this.#call = call
    this.#sentAt = sentAt
  }

  /** So many pieces have come together. */
  came(pieces: number): void {
    if (pieces === 0 || this.#call.inflightAtStart === 0) return
    const now = this.#call.now()
    if (this.#pieces === 0) {
      const { inflightAtStart, waitedMs } = this.#call
      this.#counts.began(inflightAtStart, now - this.#sentAt, waitedMs)
      this.#stretchAt = now
      this.#gaps = -1
    }
    this.#pieces += pieces
    this.#gaps += pieces
    this.#lastAt = now
    if (this.#gaps >= STRETCH) this.#close()
  }

  /** The generation is over, or was given up by its caller. */
  end(): void {
    if (this.#pieces === 0) return
    if (this.#gaps > 0) this.#close()
    this.#counts.finished(this.#pieces)
  }

  #close(): void {
    this.#counts.paced(this.#call.inflight(), this.#lastAt - this.#stretchAt, this.#gaps)
    this.#stretchAt = this.#lastAt
    this.#gaps = 0
  }
}

const LF = 0x0a
const CR = 0x0d

/** Counts the events of a stream of server-sent events: each ends with an empty line. */
export class EventCounter {
  /** The line that is read is empty so far. */
  #isEmptyLine = true

  /** How many events end in this part of the stream. */
  count(chunk: Uint8Array): number {
    let events = 0
    let from = 0
    for (let at = chunk.indexOf(LF); at !== -1; at = chunk.indexOf(LF, from)) {
      if (this.#isEmptyLine && this.#isBlank(chunk, from, at)) events++
      this.#isEmptyLine = true
      from = at + 1
    }
    if (!this.#isBlank(chunk, from, chunk.length)) this.#isEmptyLine = false
    return events
  }

  /** Whether there is nothing between the two but the CR of a line's end. */
  #isBlank(chunk: Uint8Array, from: number, to: number): boolean {
    return to === from || (to === from + 1 && chunk[from] === CR)
  }
}
