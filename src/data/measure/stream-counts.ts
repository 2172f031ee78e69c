/** Counts what generations take on one pool's backends, for the scaler: to the first piece, between pieces, and how many there are. */
import { binOf, type StreamBin, type StreamReport } from '../../core/load.ts'
import { bucketOf, HISTOGRAM_SIZE } from '../../lib/log-histogram.ts'

type Bin = { -readonly [K in keyof Omit<StreamBin, 'first'>]: number } & { readonly first: Float64Array }

export class StreamCounts {
  #bins = new Map<number, Bin>()
  #latency = new Float64Array(HISTOGRAM_SIZE)
  #finished = 0
  #pieces = 0
  #squaredPieces = 0
  #isEmpty = true

  /** The first piece has come. `inflight`: the calls at the backend when the call was sent; `waitedMs`: how long it had waited before. */
  began(inflight: number, ms: number, waitedMs: number): void {
    const bin = this.#bin(inflight)
    bin.firsts++
    bin.sumFirstMs += ms
    add(bin.first, ms)
    add(this.#latency, ms + waitedMs)
  }

  /** So many further pieces came in `ms`, with `inflight` calls at the backend. */
  paced(inflight: number, ms: number, gaps: number): void {
    const bin = this.#bin(inflight)
    bin.gaps += gaps
    bin.sumInflight += inflight * gaps
    bin.sumGapMs += ms
    bin.sumGapSquaresMs += ms * (ms / gaps)
  }

  /** A generation came to its end after so many pieces. */
  finished(pieces: number): void {
    this.#isEmpty = false
    this.#finished++
    this.#pieces += pieces
    this.#squaredPieces += pieces * pieces
  }

  /** What was counted since the last reading; undefined: nothing. */
  read(): StreamReport | undefined {
    if (this.#isEmpty) return undefined
    const report = {
      bins: [...this.#bins.values()],
      latency: this.#latency,
      finished: this.#finished,
      pieces: this.#pieces,
      squaredPieces: this.#squaredPieces,
    }
    this.#bins = new Map()
    this.#latency = new Float64Array(HISTOGRAM_SIZE)
    this.#finished = 0
    this.#pieces = 0
    this.#squaredPieces = 0
    this.#isEmpty = true
    return report
  }

  #bin(inflight: number): Bin {
    this.#isEmpty = false
    const at = binOf(inflight)
    const known = this.#bins.get(at)
    if (known) return known
    const first = new Float64Array(HISTOGRAM_SIZE)
    const sums = { firsts: 0, sumFirstMs: 0, gaps: 0, sumInflight: 0, sumGapMs: 0, sumGapSquaresMs: 0 }
    const bin = { inflight: at, first, ...sums }
    this.#bins.set(at, bin)
    return bin
  }
}

function add(histogram: Float64Array, ms: number): void {
  const bucket = bucketOf(ms)
  histogram[bucket] = (histogram[bucket] ?? 0) + 1
}
