/**
 * A pool of replicas behind a gateway, simulated: one first-come queue, slots on each replica, cold starts, a cache
 * in front. It measures demand the way the gateway does and keeps the score a scaler is judged by.
 */
import { BUCKET_MS, type CacheLoss, type Demand, type LoadBucket } from '../../../src/control/scale/demand.ts'
import { bucketOf, HISTOGRAM_SIZE } from '../../../src/lib/log-histogram.ts'
import type { Random } from '../../../src/lib/seeded-random.ts'
import type { Engine } from '../engine.ts'
import { type Crowd, type Crowding, createCrowd } from './crowd.ts'

/** A recorded load: the same calls for every rule under test. */
export interface Load {
  /** Instants of the calls, milliseconds, rising. */
  readonly arrivals: Float64Array
  /** Service time of each call on an undisturbed replica, milliseconds. */
  readonly serviceMs: Float64Array
}

export interface PoolSettings {
  /** Calls a replica serves at a time. */
  readonly slots: number
  /** Calls a replica is sent at a time, where that is more than `slots`. */
  readonly admits?: number
  /** What becomes of those beyond `slots`. Left out: they slow down by how many there are when they come. */
  readonly crowding?: Crowding
  readonly startMs: number
  /** Slowdown of a young replica by its age in milliseconds. */
  readonly warmUp?: (ageMs: number) => number
  /** How long a young replica counts as slow. */
  readonly warmUpMs?: number
  readonly sloMs: number
  readonly initial: number
  /** Share of calls answered by the cache at a time; 0 when left out. */
  readonly hitRatio?: (at: number) => number
  /** What the gateway knows of the cache at a time. */
  readonly cacheLoss?: (at: number) => CacheLoss | undefined
  /** Service slows down in proportion beyond so many calls in the whole pool: a shared bottleneck. */
  readonly sharedSlots?: number
}

interface Replica {
  readonly askedAt: number
  readyAt: number
  busy: number
  crowd?: Crowd
  state: 'starting' | 'ready' | 'leaving' | 'gone'
}

interface Job {
  arrivedAt: number
  beganAt: number
  /** Undefined: what it comes to is known when it ends. */
  serviceMs: number | undefined
  inflight: number
  replica: Replica | undefined
}

export class Pool {
  readonly #engine: Engine
  readonly #load: Load
  readonly #settings: PoolSettings
  readonly #random: Random
  readonly #queue: number[] = []
  #queueHead = 0
  #next = 0
  #replicas: Replica[] = []
  readonly #jobs: Job[] = []
  readonly #freeJobs: number[] = []
  #inflight = 0
  // The bucket being measured, and those finished since the last report.
  #bucketEnd = BUCKET_MS
  #touchedAt = 0
  #offered = 0
  #answered = 0
  #area = 0
  #base = 0
  #top = 0
  #buckets: LoadBucket[] = []
  #bins = new Map<number, { count: number; sumMs: number; sumSquaresMs: number; histogram: Float64Array }>()
  #latency = new Float64Array(HISTOGRAM_SIZE)
  #startsMs: number[] = []
  // The score.
  #replicaMs = 0
  #paidAt = 0
  readonly #totals: Float64Array
  readonly #lates: Float64Array

  constructor(engine: Engine, load: Load, settings: PoolSettings, random: Random) {
    this.#engine = engine
    this.#load = load
    this.#settings = settings
    this.#random = random
    const seconds = Math.ceil((load.arrivals.at(-1) ?? 0) / 1000) + 1
    this.#totals = new Float64Array(seconds)
    this.#lates = new Float64Array(seconds)
    for (let i = 0; i < settings.initial; i++) {
      this.#replicas.push({ askedAt: -1e9, readyAt: -1e9, busy: 0, state: 'ready' })
    }
    this.#await()
  }

  /** Replicas ready and starting. */
  get size(): number {
    return this.#replicas.length
  }

  /** Starts or gives back replicas until there are `desired`; those still starting are given back first. */
  scaleTo(desired: number): void {
    this.#pay()
    while (this.#replicas.length > desired) {
      const starting = this.#replicas.findLastIndex(({ state }) => state === 'starting')
      const index = starting >= 0 ? starting : this.#leastBusy()
      const [replica] = this.#replicas.splice(index, 1)
      if (replica) replica.state = replica.busy > 0 ? 'leaving' : 'gone'
    }
    while (this.#replicas.length < desired) {
      const now = this.#engine.now()
      const replica: Replica = { askedAt: now, readyAt: Infinity, busy: 0, state: 'starting' }
      this.#replicas.push(replica)
      this.#engine.after(this.#settings.startMs, () => this.#ready(replica))
    }
  }

  /** What was measured since the last report. */
  report(): Demand {
    const now = this.#engine.now()
    this.#touch()
    const buckets = this.#buckets
    this.#buckets = []
    const service = [...this.#bins].map(([inflight, bin]) => ({ inflight, ...bin }))
    this.#bins = new Map()
    const latency = this.#latency
    this.#latency = new Float64Array(HISTOGRAM_SIZE)
    const startsMs = this.#startsMs
    this.#startsMs = []
    const warmUpMs = this.#settings.warmUpMs ?? 0
    const oldest = this.#queue[this.#queueHead]
    const cache = this.#settings.cacheLoss?.(now)
    return {
      at: now,
      buckets,
      queue: this.#queue.length - this.#queueHead,
      inflight: this.#inflight,
      oldestWaitMs: oldest === undefined ? 0 : now - (this.#load.arrivals[oldest] ?? now),
      service,
      latency,
      replicas: {
        ready: this.#replicas.filter(({ state }) => state === 'ready').length,
        startingMs: this.#replicas
          .filter(({ state }) => state === 'starting')
          .map(({ askedAt }) => now - askedAt),
        slow: this.#replicas.filter(({ state, readyAt }) => state === 'ready' && now - readyAt < warmUpMs)
          .length,
        draining: 0,
      },
      startsMs,
      ...(cache ? { cache } : {}),
    }
  }

  /** Replica-seconds paid for so far, starting ones included. */
  replicaSeconds(): number {
    this.#pay()
    return this.#replicaMs / 1000
  }

  /** For each second, whether more than 5 % of the misses that came in it were, or are already, later than the SLO. */
  violations(): boolean[] {
    for (let i = this.#queueHead; i < this.#queue.length; i++) {
      const arrivedAt = this.#load.arrivals[this.#queue[i] ?? 0] ?? 0
      if (this.#engine.now() - arrivedAt > this.#settings.sloMs) this.#score(arrivedAt, Infinity)
    }
    return Array.from(this.#totals, (total, second) => total > 0 && (this.#lates[second] ?? 0) > total * 0.05)
  }

  #await(): void {
    const at = this.#load.arrivals[this.#next]
    if (at !== undefined) this.#engine.at(at, this.#arrive)
  }

  readonly #arrive = () => {
    const call = this.#next++
    this.#await()
    this.#touch()
    const ratio = this.#settings.hitRatio?.(this.#engine.now()) ?? 0
    if (ratio > 0 && this.#random() < ratio) {
      this.#answered++
      return
    }
    this.#offered++
    this.#queue.push(call)
    this.#top = Math.max(this.#top, this.#level())
    this.#serve()
  }

  #serve(): void {
    while (this.#queueHead < this.#queue.length) {
      const replica = this.#pick()
      if (!replica) return
      const call = this.#queue[this.#queueHead++] ?? 0
      if (this.#queueHead > 4096 && this.#queueHead * 2 > this.#queue.length) {
        this.#queue.splice(0, this.#queueHead)
        this.#queueHead = 0
      }
      this.#begin(call, replica)
    }
  }

  #begin(call: number, replica: Replica): void {
    const now = this.#engine.now()
    replica.busy++
    this.#inflight++
    const { slots, sharedSlots, warmUp, crowding } = this.#settings
    const crowd = Math.max(
      1,
      crowding ? 1 : replica.busy / slots,
      sharedSlots ? this.#inflight / sharedSlots : 1,
    )
    const young = warmUp?.(now - replica.readyAt) ?? 1
    const serviceMs = (this.#load.serviceMs[call] ?? 0) * crowd * young
    const id =
      this.#freeJobs.pop() ??
      this.#jobs.push({ arrivedAt: 0, beganAt: 0, serviceMs: 0, inflight: 0, replica: undefined }) - 1
    const job = this.#jobs[id]
    if (!job) throw new Error('a job that was just made is missing')
    job.arrivedAt = this.#load.arrivals[call] ?? 0
    job.beganAt = now
    job.inflight = replica.busy
    job.replica = replica
    job.serviceMs = crowding ? undefined : serviceMs
    if (!crowding) return this.#engine.at(now + serviceMs, this.#end, id)
    replica.crowd ??= createCrowd(crowding, { engine: this.#engine, places: slots, end: this.#end })
    replica.crowd.begin(serviceMs, id)
  }

  readonly #end = (id: number) => {
    this.#touch()
    const job = this.#jobs[id]
    if (!job?.replica) return
    const { replica, beganAt, arrivedAt, inflight } = job
    job.replica = undefined
    this.#freeJobs.push(id)
    replica.busy--
    this.#inflight--
    if (replica.state === 'leaving' && replica.busy === 0) replica.state = 'gone'
    const now = this.#engine.now()
    const serviceMs = job.serviceMs ?? now - beganAt
    this.#score(arrivedAt, now - arrivedAt)
    const bucket = bucketOf(now - arrivedAt)
    this.#latency[bucket] = (this.#latency[bucket] ?? 0) + 1
    if (now - replica.readyAt >= (this.#settings.warmUpMs ?? 0)) this.#measure(inflight, serviceMs)
    this.#serve()
  }

  #measure(inflight: number, ms: number): void {
    let bin = this.#bins.get(inflight)
    if (!bin) {
      bin = { count: 0, sumMs: 0, sumSquaresMs: 0, histogram: new Float64Array(HISTOGRAM_SIZE) }
      this.#bins.set(inflight, bin)
    }
    bin.count++
    bin.sumMs += ms
    bin.sumSquaresMs += ms * ms
    const bucket = bucketOf(ms)
    bin.histogram[bucket] = (bin.histogram[bucket] ?? 0) + 1
  }

  #score(arrivedAt: number, latencyMs: number): void {
    const second = Math.floor(arrivedAt / 1000)
    this.#totals[second] = (this.#totals[second] ?? 0) + 1
    if (latencyMs > this.#settings.sloMs) this.#lates[second] = (this.#lates[second] ?? 0) + 1
  }

  #ready(replica: Replica): void {
    if (replica.state !== 'starting') return
    this.#touch()
    replica.state = 'ready'
    replica.readyAt = this.#engine.now()
    this.#startsMs.push(replica.readyAt - replica.askedAt)
    this.#serve()
  }

  /** The least busy ready replica with room. */
  #pick(): Replica | undefined {
    let best: Replica | undefined
    let busy = this.#settings.admits ?? this.#settings.slots
    for (const replica of this.#replicas) {
      if (replica.state !== 'ready' || replica.busy >= busy) continue
      best = replica
      busy = replica.busy
      if (busy === 0) break
    }
    return best
  }

  #leastBusy(): number {
    let index = 0
    this.#replicas.forEach((replica, i) => {
      if (replica.busy < (this.#replicas[index]?.busy ?? 0)) index = i
    })
    return index
  }

  #level(): number {
    return this.#inflight + this.#queue.length - this.#queueHead
  }

  /** Brings the measured buckets up to now; called before anything changes the level. */
  #touch(): void {
    const now = this.#engine.now()
    while (now >= this.#bucketEnd) {
      const level = this.#level()
      this.#area += level * (this.#bucketEnd - this.#touchedAt)
      this.#buckets.push({
        offered: this.#offered,
        answered: this.#answered,
        concurrency: this.#area / BUCKET_MS,
        rise: Math.max(0, this.#top - this.#base),
      })
      this.#offered = 0
      this.#answered = 0
      this.#area = 0
      this.#base = level
      this.#top = level
      this.#touchedAt = this.#bucketEnd
      this.#bucketEnd += BUCKET_MS
    }
    this.#area += this.#level() * (now - this.#touchedAt)
    this.#touchedAt = now
  }

  #pay(): void {
    const now = this.#engine.now()
    this.#replicaMs += this.#replicas.length * (now - this.#paidAt)
    this.#paidAt = now
  }
}
