/**
 * Measures the demand on one pool's backends where the calls pass: every arrival and every departure, so that a burst
 * between two readings is not missed. A reading takes what was measured since the one before.
 */
import { BUCKET_MS, type LoadBucket, type LoadReport, type ServiceBin } from '../../core/load.ts'
import type { Clock } from '../../lib/clock.ts'
import { bucketOf, HISTOGRAM_SIZE } from '../../lib/log-histogram.ts'
import { StreamCounts } from './stream-counts.ts'
import { type StreamedCall, StreamMeter } from './stream-meter.ts'

/** One minute, kept while nobody reads. */
const MAX_BUCKETS = 600
/** More concurrent calls on one backend than this share a bin. */
const MAX_INFLIGHT = 1024

interface Bin {
  count: number
  sumMs: number
  sumSquaresMs: number
  readonly histogram: Float64Array
}

interface SentCall extends Pick<StreamedCall, 'inflightAtStart' | 'waitedMs'> {
  readonly slot: number
  readonly sentAt: number
}

export class DemandMeter {
  /** What its generations take. */
  readonly streams = new StreamCounts()
  readonly #clock: Pick<Clock, 'now'>
  readonly #inflightAt: (slot: number) => number
  /** When each waiting call arrived, the oldest first. */
  readonly #waiting = new Set<{ readonly since: number }>()
  #inflight = 0
  #buckets: LoadBucket[] = []
  #bins = new Map<number, Bin>()
  #latency = new Float64Array(HISTOGRAM_SIZE)
  #answeredShared = 0
  /** The bucket being filled: its start and its contents so far. */
  #began: number
  #offered = 0
  #answered = 0
  #area = 0
  #first = 0
  #top = 0
  #touchedAt: number

  /** @param inflight calls at the backend of a slot, now */
  constructor(clock: Pick<Clock, 'now'>, inflight: (slot: number) => number = () => 0) {
    this.#clock = clock
    this.#inflightAt = inflight
    this.#began = clock.now()
    this.#touchedAt = this.#began
  }

  /** Calls at the backends and waiting for one. */
  get level(): number {
    return this.#inflight + this.#waiting.size
  }

  /** Counts a call that no cache answered, whether it is sent on, waits or is shed. */
  offered(now = this.#clock.now()): void {
    this.#touch(now)
    this.#offered++
  }

  /** Counts a call that cost no backend anything, at `now`. `isShared`: a shared tier had the answer. */
  answered(isShared: boolean, now = this.#clock.now()): void {
    this.#touch(now)
    this.#answered++
    if (isShared) this.#answeredShared++
  }

  /** A call begins to wait. The result is to be called when the wait ends. */
  wait(): () => void {
    this.#touch()
    const waiting = { since: this.#touchedAt }
    this.#waiting.add(waiting)
    this.#rise()
    return () => {
      this.#touch()
      this.#waiting.delete(waiting)
    }
  }

  /** A call has been sent to a backend. */
  enter(now = this.#clock.now()): void {
    this.#touch(now)
    this.#inflight++
    this.#rise()
  }

  /**
   * A call has left its backend. `inflight`: how many were there when it arrived, itself included; 0 where its time says
   * nothing of the backend's service, because it failed or the backend was still warming up.
   */
  leave(ms: number, inflight: number, now = this.#clock.now()): void {
    this.#touch(now)
    this.#inflight--
    if (inflight <= 0) return
    const at = Math.min(MAX_INFLIGHT, inflight)
    const bin = this.#bins.get(at) ?? newBin()
    this.#bins.set(at, bin)
    bin.count++
    bin.sumMs += ms
    bin.sumSquaresMs += ms * ms
    const bucket = bucketOf(ms)
    bin.histogram[bucket] = (bin.histogram[bucket] ?? 0) + 1
  }

  /** For a call whose answer has begun to stream. `slot`: its backend's; `sentAt`: monotonic. */
  meterStream({ slot, sentAt, ...call }: SentCall): StreamMeter {
    const inflight = () => this.#inflightAt(slot)
    return new StreamMeter(this.streams, { ...call, inflight, now: () => this.#clock.now() }, sentAt)
  }

  /** A miss was answered, this long after it arrived. */
  served(ms: number): void {
    const bucket = bucketOf(ms)
    this.#latency[bucket] = (this.#latency[bucket] ?? 0) + 1
  }

  /** What was measured since the last reading, up to the end of the last full bucket. */
  read(): LoadReport {
    this.#touch()
    const [oldest] = this.#waiting
    const report = {
      at: this.#began,
      buckets: this.#buckets,
      queue: this.#waiting.size,
      inflight: this.#inflight,
      oldestWaitMs: oldest ? this.#touchedAt - oldest.since : 0,
      service: [...this.#bins].map(([inflight, bin]): ServiceBin => ({ inflight, ...bin })),
      latency: this.#latency,
      answeredShared: this.#answeredShared,
      streams: this.streams.read(),
    }
    this.#buckets = []
    this.#bins = new Map()
    this.#latency = new Float64Array(HISTOGRAM_SIZE)
    this.#answeredShared = 0
    return report
  }

  #rise(): void {
    this.#top = Math.max(this.#top, this.level)
  }

  /** Brings the integral up to now, and closes the buckets that are full. */
  #touch(now = this.#clock.now()): void {
    let end = this.#began + BUCKET_MS
    if (now - end > MAX_BUCKETS * BUCKET_MS) {
      // Nobody has read for long: the level stands for the time between, and most buckets would be dropped anyway.
      end += Math.floor((now - end) / BUCKET_MS - MAX_BUCKETS) * BUCKET_MS
      this.#began = end - BUCKET_MS
      this.#touchedAt = Math.max(this.#touchedAt, this.#began)
    }
    for (; end <= now; end += BUCKET_MS) this.#close(end)
    this.#area += this.level * (now - this.#touchedAt)
    this.#touchedAt = now
  }

  #close(end: number): void {
    this.#area += this.level * (end - this.#touchedAt)
    this.#buckets.push({
      offered: this.#offered,
      answered: this.#answered,
      concurrency: this.#area / BUCKET_MS,
      rise: Math.max(0, this.#top - this.#first),
    })
    if (this.#buckets.length > MAX_BUCKETS) this.#buckets.shift()
    this.#began = end
    this.#touchedAt = end
    this.#offered = 0
    this.#answered = 0
    this.#area = 0
    this.#first = this.level
    this.#top = this.level
  }
}

function newBin(): Bin {
  return { count: 0, sumMs: 0, sumSquaresMs: 0, histogram: new Float64Array(HISTOGRAM_SIZE) }
}
