/**
 * Several gateways in front of the same pools: each publishes its measurements, and one leader decides for all. Shared
 * data expire by themselves. While the store is unreachable, the leader continues with the last reports: the store is
 * often the cache as well, and its loss is when replicas are needed most.
 */
import { addStreams, type LoadBucket, type ServiceBin, type StreamReport } from '../../core/load.ts'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import { HISTOGRAM_SIZE } from '../../lib/log-histogram.ts'
import type { Demand } from './demand.ts'
import type { ScaleGroup } from './scaler.ts'

/** The shared store. Every call settles in time, and rejects where the store is unreachable. */
export interface ScaleGroupStore {
  lead(holder: string, ttlMs: number): Promise<{ readonly isLeader: boolean; readonly token: number }>
  publish(
    pool: string,
    member: string,
    value: string,
    ttlMs: number,
  ): Promise<readonly { readonly member: string; readonly value: string }[]>
}

export interface ScaleGroupOptions {
  readonly store: ScaleGroupStore
  /** The unique name of this gateway. */
  readonly instance: string
  readonly clock: Clock
  readonly log: Log
}

/** One gateway's measurements of one pool. */
interface Report {
  /** Sequence number: each report counts once. */
  readonly sequence: number
  readonly buckets: readonly LoadBucket[]
  readonly queue: number
  readonly inflight: number
  readonly oldestWaitMs: number
  readonly service: readonly ServiceBin[]
  readonly latency: readonly number[]
  readonly streams?: StreamReport | undefined
}

interface GroupMember {
  sequence: number
  newest: Report
  /** Buckets that have not been added yet; bounded. */
  buckets: LoadBucket[]
  service: ServiceBin[]
  latency: number[][]
  streams: StreamReport | undefined
}

const TTL_MS = 5_000
const EVERY_MS = 1_000
/** Time for the first connection, in which a missing one is not logged. */
const START_MS = 1_500
const MAX_BUCKETS = 50
/** Most bins that are kept while they cannot be published. */
const MAX_BINS = 256
const EMPTY_BUCKET: LoadBucket = { offered: 0, answered: 0, concurrency: 0, rise: 0 }

export class SharedScaleGroup implements ScaleGroup {
  readonly #options: ScaleGroupOptions
  readonly #peers = new Map<string, Map<string, GroupMember>>()
  readonly #unsent = new Map<string, Report>()
  #role: ReturnType<ScaleGroup['role']> = 'alone'
  #token = 1
  #sequence = 0
  /** Undefined: the store has not been reached yet. */
  #isDisconnected: boolean | undefined
  readonly #startedAt: number
  #cancel = () => {}
  #isClosed = false

  constructor(options: ScaleGroupOptions) {
    this.#options = options
    this.#startedAt = options.clock.now()
  }

  start(): void {
    void this.#round()
  }

  close(): void {
    this.#isClosed = true
    this.#cancel()
  }

  role(): ReturnType<ScaleGroup['role']> {
    return this.#role
  }

  get token(): number {
    return this.#token
  }

  exchange(pool: string, own: Demand): Demand {
    const before = this.#unsent.get(pool)
    this.#unsent.set(pool, {
      sequence: 0,
      buckets: [...(before?.buckets ?? []), ...own.buckets].slice(-MAX_BUCKETS),
      queue: own.queue,
      inflight: own.inflight,
      oldestWaitMs: own.oldestWaitMs,
      service: [...(before?.service ?? []), ...own.service.map(jsonOf)].slice(-MAX_BINS),
      latency: plus(before?.latency ?? [], own.latency),
      streams: addStreams(before?.streams, own.streams && jsonStreams(own.streams)),
    })
    let sum = own
    for (const peer of this.#peers.get(pool)?.values() ?? []) sum = added(sum, peer)
    return sum
  }

  async #round(): Promise<void> {
    const { store, instance, log, clock } = this.#options
    try {
      const { isLeader, token } = await store.lead(instance, TTL_MS)
      const role = isLeader ? 'leader' : 'follower'
      // Not as `token`, which the log would hide as a secret.
      if (role !== this.#role) log.info('scale.role', { role, fencingToken: token })
      this.#role = role
      this.#token = token
      await Promise.all([...this.#unsent].map(([pool, report]) => this.#publish(pool, report)))
      this.#isDisconnected = false
    } catch (error) {
      const isStarting = this.#isDisconnected === undefined && clock.now() - this.#startedAt < START_MS
      if (!this.#isDisconnected && !isStarting && !this.#isClosed)
        log.warn('scale.crew', { role: this.#role, error: String(error) })
      if (!isStarting) this.#isDisconnected = true
    }
    if (!this.#isClosed) this.#cancel = clock.after(EVERY_MS, () => void this.#round())
  }

  async #publish(pool: string, report: Report): Promise<void> {
    const { store, instance } = this.#options
    this.#unsent.delete(pool)
    const value = JSON.stringify({ ...report, sequence: ++this.#sequence })
    const reports = await store.publish(pool, instance, value, TTL_MS)
    const known = this.#peers.get(pool) ?? new Map<string, GroupMember>()
    const living = new Map<string, GroupMember>()
    for (const { member, value: text } of reports) {
      if (member === instance) continue
      living.set(member, received(known.get(member), JSON.parse(text) as Report))
    }
    this.#peers.set(pool, living)
  }
}

function received(known: GroupMember | undefined, report: Report): GroupMember {
  if (!known)
    return {
      sequence: report.sequence,
      newest: report,
      buckets: [...report.buckets],
      service: [...report.service],
      latency: [[...report.latency]],
      streams: report.streams,
    }
  if (known.sequence === report.sequence) return known
  known.sequence = report.sequence
  known.newest = report
  known.buckets = [...known.buckets, ...report.buckets].slice(-MAX_BUCKETS)
  known.service.push(...report.service)
  known.latency.push([...report.latency])
  known.streams = addStreams(known.streams, report.streams)
  return known
}

/** Adds a peer's buckets to ours in order. Where its next report is missing, its last load is assumed to continue. */
function added(sum: Demand, peer: GroupMember): Demand {
  const last = peer.newest.buckets.at(-1) ?? EMPTY_BUCKET
  const buckets = sum.buckets.map((bucket) => {
    const other = peer.buckets.shift() ?? last
    return {
      offered: bucket.offered + other.offered,
      answered: bucket.answered + other.answered,
      concurrency: bucket.concurrency + other.concurrency,
      rise: bucket.rise + other.rise,
    }
  })
  const service = peer.service.splice(0)
  const { streams } = peer
  peer.streams = undefined
  const latency = peer.latency.splice(0).reduce<number[]>((all, one) => plus(all, one), [])
  return {
    ...sum,
    buckets,
    queue: sum.queue + peer.newest.queue,
    inflight: sum.inflight + peer.newest.inflight,
    oldestWaitMs: Math.max(sum.oldestWaitMs, peer.newest.oldestWaitMs),
    service: [...sum.service, ...service],
    latency: plus(latency, sum.latency),
    streams: addStreams(sum.streams, streams),
  }
}

/** JSON does not preserve typed arrays. */
function jsonOf(bin: ServiceBin): ServiceBin {
  return { ...bin, histogram: Array.from(bin.histogram) }
}

function jsonStreams(streams: StreamReport): StreamReport {
  const bins = streams.bins.map((bin) => ({ ...bin, first: Array.from(bin.first) }))
  return { ...streams, bins, latency: Array.from(streams.latency) }
}

function plus(a: ArrayLike<number>, b: ArrayLike<number>): number[] {
  return Array.from({ length: HISTOGRAM_SIZE }, (_, i) => (a[i] ?? 0) + (b[i] ?? 0))
}
