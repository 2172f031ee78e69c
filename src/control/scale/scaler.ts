/**
 * The control loop of the scaler: it samples the load of every scaled pool ten times a second, decides once a second
 * and at once when the load jumps, and passes the decision to the emitters. It is level-triggered: the number is
 * repeated with every decision, so that a lost, doubled or late signal does no harm.
 */
import { randomUUID } from 'node:crypto'
import type { LoadReport, ReportedLoad } from '../../core/load.ts'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import { type Awaiting, awaitReplicas, NONE_AWAITED } from './awaited.ts'
import { type CacheWatch, createCacheWatch } from './cache-watch.ts'
import { decide, replicasFor, type ScaleMemory } from './decide.ts'
import type { Decision } from './decision.ts'
import type { Demand, Expected, ScaleOptions } from './demand.ts'
import { startMoves } from './moves.ts'
import { NO_PRESSURE } from './pressure.ts'
import type { Emitter, ScaleSignal } from './signal.ts'
import { clamp } from './size.ts'

/** The present state of a pool. `read` returns what was measured since the previous reading. */
export interface PoolSample {
  /** Calls at the backends and waiting for one. */
  readonly level: number
  readonly ready: number
  readonly slow: number
  readonly draining: number
  /** Calls a replica serves at a time, where the backends declare it. */
  readonly slots: number | undefined
  /** What the backends say of their own load; undefined: none says anything. */
  readonly reported?: ReportedLoad | undefined
  /** Starts of replicas that are processes of this gateway; undefined: an external autoscaler starts them. */
  readonly embedded?: { readonly startingMs: readonly number[]; readonly startsMs: readonly number[] }
  read(): LoadReport
}

export interface ScaledPool {
  readonly name: string
  readonly options: ScaleOptions
  readonly emitters: readonly Emitter[]
  /** Its replicas are processes of this gateway, which it scales itself whichever gateway leads. */
  readonly isEmbedded: boolean
}

/** The gateways that scale together: who leads, and what the others measure. */
export interface ScaleGroup {
  /** `alone`: nothing is shared, each gateway decides for itself. */
  role(): 'alone' | 'leader' | 'follower'
  readonly token: number
  /** Publishes what was measured here, and returns it with the newest reports of the others added. */
  exchange(pool: string, own: Demand): Demand
}

export interface ScalerOptions {
  readonly clock: Clock
  readonly log: Log
  /** Undefined: there is no such pool (any more). */
  readonly sample: (pool: string) => PoolSample | undefined
  /** Whether a shared cache tier cannot be asked. */
  readonly isTierDown: () => boolean
  readonly group: ScaleGroup
  /** How long nothing is emitted after the start: existing backends must register first. */
  readonly settleMs?: number
}

/** The state of a pool's scaling, for operators. */
export interface ScaleStatus {
  readonly signal: ScaleSignal
  readonly role: ReturnType<ScaleGroup['role']>
  /** False: the gateway has just started, and nothing is emitted yet. */
  readonly isSettled: boolean
  readonly emitters: readonly string[]
  readonly inflight: number
  readonly queue: number
}

export interface Announced {
  readonly perSecond: number
  readonly like: string
}

interface PoolScaling {
  pool: ScaledPool
  readonly since: number
  readonly cache: CacheWatch
  memory: ScaleMemory | undefined
  awaiting: Awaiting
  decidedAt: number
  level: number
  signal: ScaleSignal | undefined
  /** The newest. */
  demand: Demand | undefined
  /** Misses that were announced. */
  expected: Announced | undefined
}

const DECIDE_MS = 1_000
/** Least time between two decisions. */
const LEAST_MS = 200
/** Three repetitions of the slowest emitter. */
const VALID_MS = 90_000
const SETTLE_MS = 20_000

export class Scaler {
  readonly #options: ScalerOptions
  readonly #pools = new Map<string, PoolScaling>()

  constructor(options: ScalerOptions) {
    this.#options = options
  }

  /** Replaces the scaled pools; the memory of those that stay is kept, and emitters that are dropped are closed. */
  follow(pools: readonly ScaledPool[]): void {
    const named = new Set(pools.map(({ name }) => name))
    for (const [name, state] of this.#pools) {
      if (named.has(name)) continue
      for (const emitter of state.pool.emitters) emitter.close()
      this.#pools.delete(name)
    }
    for (const pool of pools) {
      const known = this.#pools.get(pool.name)
      if (!known) this.#pools.set(pool.name, this.#open(pool))
      else {
        for (const emitter of known.pool.emitters) if (!pool.emitters.includes(emitter)) emitter.close()
        known.pool = pool
      }
    }
  }

  /** To be called about every 100 ms. */
  tick(): void {
    const now = this.#options.clock.now()
    for (const state of this.#pools.values()) {
      const sample = this.#options.sample(state.pool.name)
      if (!sample) continue
      const sinceMs = now - state.decidedAt
      const isWoken = sample.level > 0 && state.memory?.moves.desired === 0
      const hasJumped = (isWoken || sample.level > 2 * state.level + 2) && sinceMs >= LEAST_MS
      if (sinceMs >= DECIDE_MS || hasJumped) this.#decide(state, sample, now)
    }
  }

  /** Stored answers became unreachable and their calls will be misses. `pool` undefined: everywhere. */
  cacheLost(kind: 'flush' | 'deployment', pool?: string): void {
    const at = this.#options.clock.now()
    for (const state of this.#pools.values()) {
      if (pool !== undefined && pool !== state.pool.name) continue
      state.cache.noteLoss({ kind, at, hitRatioLeft: 0 })
      // The misses are about to arrive: the next tick decides.
      state.decidedAt = Number.NEGATIVE_INFINITY
    }
  }

  /**
   * So many misses a second are about to be sent to a pool, over all gateways; it holds until it is said anew, undefined: none are. `like`: the
   * pool whose measurements count until it has some of its own.
   */
  expect(pool: string, announced: Announced | undefined): void {
    const state = this.#pools.get(pool)
    if (!state) return
    // What was not expected before needs its replicas at once.
    if (announced && !state.expected) state.decidedAt = Number.NEGATIVE_INFINITY
    state.expected = announced
  }

  /** Replicas of a pool for so many misses a second, by what was measured of it; undefined: nothing is known, or it is not scaled. */
  replicasFor(pool: string, perSecond: number): number | undefined {
    const state = this.#pools.get(pool)
    const sample = state?.demand && this.#options.sample(pool)
    return (
      sample &&
      state.demand &&
      replicasFor(state.memory, state.demand, perSecond, optionsOf(state.pool, sample))
    )
  }

  /** Undefined: this pool is not scaled, or nothing has been decided yet. */
  status(pool: string): ScaleStatus | undefined {
    const state = this.#pools.get(pool)
    if (!state?.signal) return undefined
    const { inflight, queue } = state.signal.decision.signals
    return {
      signal: state.signal,
      role: this.#role(state),
      isSettled: this.#isSettled(state),
      emitters: state.pool.emitters.map(({ name }) => name),
      inflight,
      queue,
    }
  }

  names(): readonly string[] {
    return [...this.#pools.keys()]
  }

  close(): void {
    this.follow([])
  }

  #open(pool: ScaledPool): PoolScaling {
    const now = this.#options.clock.now()
    return {
      pool,
      since: now,
      cache: createCacheWatch(),
      memory: undefined,
      awaiting: NONE_AWAITED,
      decidedAt: Number.NEGATIVE_INFINITY,
      level: 0,
      signal: undefined,
      demand: undefined,
      expected: undefined,
    }
  }

  #decide(state: PoolScaling, sample: PoolSample, now: number): void {
    const { pool } = state
    const options = optionsOf(pool, sample)
    const demand = this.#demand(state, sample, now)
    state.demand = demand
    const decided = decide(state.memory, demand, options, now)
    state.memory = decided.memory
    state.decidedAt = now
    state.level = sample.level
    this.#announce(state, decided.decision)
  }

  #expected({ perSecond, like }: Announced): Expected {
    return { perSecond, replicas: this.replicasFor(like, perSecond) }
  }

  #demand(state: PoolScaling, sample: PoolSample, now: number): Demand {
    const { pool } = state
    const { answeredShared, ...measured } = sample.read()
    const { ready, slow, draining } = sample
    const startMs = state.signal?.decision.signals.startMs ?? pool.options.startMs
    const desired = state.memory?.moves.desired ?? clamp(ready, pool.options)
    const awaited = awaitReplicas(state.awaiting, { desired, ready, startMs }, now)
    state.awaiting = awaited.awaiting
    const isOverdue = sample.embedded === undefined && awaited.isOverdue
    if (state.memory && (isOverdue || !this.#isSettled(state))) {
      // Requested replicas have not arrived, or the backends are not known yet: the present scale is assumed.
      if (isOverdue) this.#options.log.warn('scale.unheard', { pool: pool.name, desired, ready })
      const present = clamp(ready, pool.options)
      state.memory = { ...state.memory, moves: startMoves(present, now), pressure: NO_PRESSURE }
    }
    const { startingMs, startsMs } = sample.embedded ?? awaited
    const cache = state.cache.note({
      at: measured.at,
      buckets: measured.buckets,
      answeredShared,
      isTierDown: this.#options.isTierDown(),
    })
    const own = {
      ...measured,
      replicas: { ready, startingMs, slow, draining },
      startsMs,
      ...(cache ? { cache } : {}),
      reported: sample.reported,
      ...(state.expected ? { expected: this.#expected(state.expected) } : {}),
    }
    return pool.isEmbedded ? own : this.#options.group.exchange(pool.name, own)
  }

  #announce(state: PoolScaling, decision: Decision): void {
    const { clock, log, group } = this.#options
    const { name } = state.pool
    const before = state.signal
    const isSame = before?.decision.desired === decision.desired
    const atMs = clock.wall()
    const id = isSame && before ? before.id : `${name}-${randomUUID()}`
    state.signal = { id, token: group.token, pool: name, atMs, validUntilMs: atMs + VALID_MS, decision }
    if (!isSame && before) {
      const { desired, reason, sentence } = decision
      log.info('scale.changed', { pool: name, from: before.decision.desired, desired, reason, sentence })
    }
    if (!this.#isSettled(state) || this.#role(state) === 'follower') return
    for (const emitter of state.pool.emitters) emitter.emit(state.signal)
  }

  #role({ pool }: PoolScaling): ReturnType<ScaleGroup['role']> {
    return pool.isEmbedded ? 'alone' : this.#options.group.role()
  }

  #isSettled({ pool, since }: PoolScaling): boolean {
    return pool.isEmbedded || this.#options.clock.now() - since >= (this.#options.settleMs ?? SETTLE_MS)
  }
}

/** What the backends declare counts where the settings say nothing. */
function optionsOf({ options }: ScaledPool, { slots }: PoolSample): ScaleOptions {
  return slots === undefined ? options : { slots, ...options }
}
