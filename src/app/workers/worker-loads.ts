/** Sums up the load of each pool from the measurements of its workers, for the scaler. */
import {
  addStreams,
  BUCKET_MS,
  type LoadBucket,
  type LoadReport,
  type ServiceBin,
  type StreamReport,
} from '../../core/load.ts'
import type { Clock } from '../../lib/clock.ts'
import { HISTOGRAM_SIZE } from '../../lib/log-histogram.ts'
import type { Pools } from '../pools.ts'

/** What one worker has measured of a pool since its last report. */
export interface WorkerLoad {
  readonly pool: string
  readonly level: number
  readonly report: LoadReport
}

/** A worker that has not reported for this long is not waited for. */
const SILENT_MS = 1_000
/** Most buckets that are kept while nobody reads. */
const MAX_BUCKETS = 600
const EMPTY_BUCKET: LoadBucket = { offered: 0, answered: 0, concurrency: 0, rise: 0 }

export function loadsOf(pools: Pools): WorkerLoad[] {
  return pools.names().flatMap((pool) => {
    const load = pools.load(pool)
    return load ? [{ pool, level: load.level, report: load.read() }] : []
  })
}

export class WorkerLoads {
  readonly #clock: Pick<Clock, 'now'>
  readonly #pools = new Map<string, PoolSum>()

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock
  }

  add(worker: number, loads: readonly WorkerLoad[]): void {
    for (const load of loads) this.#of(load.pool).add(worker, load, this.#clock.now())
  }

  /** Drops the present load of a worker that has ended. */
  forget(worker: number): void {
    for (const pool of this.#pools.values()) pool.forget(worker)
  }

  /** @param without a worker whose load is left out */
  level(pool: string, without?: number): number {
    return this.#of(pool).level(without)
  }

  read(pool: string): LoadReport {
    return this.#of(pool).read(this.#clock.now())
  }

  #of(name: string): PoolSum {
    const known = this.#pools.get(name) ?? new PoolSum()
    this.#pools.set(name, known)
    return known
  }
}

interface Newest {
  readonly load: WorkerLoad
  /** The last tenth of a second that was reported, counted from the clock's origin. */
  readonly bucket: number
  readonly receivedAt: number
}

class PoolSum {
  readonly #newest = new Map<number, Newest>()
  readonly #buckets = new Map<number, LoadBucket>()
  #service = new Map<number, ServiceBin>()
  #latency = new Float64Array(HISTOGRAM_SIZE)
  #answeredShared = 0
  #streams: StreamReport | undefined
  /** The last bucket that was read. */
  #read = 0

  level(without: number | undefined): number {
    let sum = 0
    for (const [worker, { load }] of this.#newest) if (worker !== without) sum += load.level
    return sum
  }

  add(worker: number, load: WorkerLoad, now: number): void {
    const { report } = load
    // Workers start at different instants: their buckets differ by up to half a bucket.
    const bucket = Math.round(report.at / BUCKET_MS)
    this.#newest.set(worker, { load, bucket, receivedAt: now })
    if (this.#read === 0) this.#read = bucket - report.buckets.length
    for (const [i, each] of report.buckets.entries()) {
      // A bucket that arrives late is added to the oldest one that was not read yet.
      const at = Math.max(this.#read + 1, bucket - report.buckets.length + 1 + i)
      this.#buckets.set(at, sumOf(this.#buckets.get(at) ?? EMPTY_BUCKET, each))
    }
    for (const bin of report.service)
      this.#service.set(bin.inflight, joined(this.#service.get(bin.inflight), bin))
    for (let at = 0; at < HISTOGRAM_SIZE; at++)
      this.#latency[at] = (this.#latency[at] ?? 0) + (report.latency[at] ?? 0)
    this.#answeredShared += report.answeredShared
    this.#streams = addStreams(this.#streams, report.streams)
  }

  forget(worker: number): void {
    this.#newest.delete(worker)
  }

  read(now: number): LoadReport {
    const current = [...this.#newest.values()].filter(({ receivedAt: heardAt }) => now - heardAt < SILENT_MS)
    const until = current.length > 0 ? Math.min(...current.map(({ bucket }) => bucket)) : this.#read
    const from = Math.max(this.#read, until - MAX_BUCKETS)
    const buckets = Array.from(
      { length: Math.max(0, until - from) },
      (_, i) => this.#buckets.get(from + 1 + i) ?? EMPTY_BUCKET,
    )
    this.#read = Math.max(this.#read, until)
    for (const at of this.#buckets.keys()) if (at <= this.#read) this.#buckets.delete(at)
    const report = {
      at: this.#read * BUCKET_MS,
      buckets,
      queue: this.#sum(({ report: { queue } }) => queue),
      inflight: this.#sum(({ report: { inflight } }) => inflight),
      oldestWaitMs: Math.max(0, ...[...this.#newest.values()].map(({ load }) => load.report.oldestWaitMs)),
      service: [...this.#service.values()],
      latency: this.#latency,
      answeredShared: this.#answeredShared,
      streams: this.#streams,
    }
    this.#service = new Map()
    this.#latency = new Float64Array(HISTOGRAM_SIZE)
    this.#answeredShared = 0
    this.#streams = undefined
    return report
  }

  #sum(of: (load: WorkerLoad) => number): number {
    let sum = 0
    for (const { load } of this.#newest.values()) sum += of(load)
    return sum
  }
}

function sumOf(a: LoadBucket, b: LoadBucket): LoadBucket {
  return {
    offered: a.offered + b.offered,
    answered: a.answered + b.answered,
    concurrency: a.concurrency + b.concurrency,
    rise: a.rise + b.rise,
  }
}

function joined(known: ServiceBin | undefined, bin: ServiceBin): ServiceBin {
  if (!known) return bin
  return {
    inflight: bin.inflight,
    count: known.count + bin.count,
    sumMs: known.sumMs + bin.sumMs,
    sumSquaresMs: known.sumSquaresMs + bin.sumSquaresMs,
    histogram: Float64Array.from(known.histogram, (count, at) => count + (bin.histogram[at] ?? 0)),
  }
}
