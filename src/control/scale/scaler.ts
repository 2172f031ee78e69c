/**
 * Keeps the scale of every pool that has one: looks at the load ten times a second, decides once a second and at once
 * when the load jumps, and tells whoever carries it out. Level-triggered: the number is said again with every decision,
 * so a signal that is lost, doubled or late leads to the same end.
 */
import { randomUUID } from 'node:crypto'
import type { LoadReport } from '../../core/load.ts'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import { type Awaiting, awaitReplicas, NOBODY_AWAITED } from './awaited.ts'
import { type CacheWatch, createCacheWatch } from './cache-watch.ts'
import { decide, type ScaleMemory } from './decide.ts'
import type { Decision } from './decision.ts'
import type { Demand, ScaleOptions } from './demand.ts'
import { startMoves } from './moves.ts'
import { NO_PRESSURE } from './pressure.ts'
import type { Emitter, ScaleSignal } from './signal.ts'
import { clamp } from './size.ts'

/** What is to be seen of a pool now. `read` takes what was measured since the last reading. */
export interface Look {
  /** Calls at the backends and waiting for one. */
  readonly level: number
  readonly ready: number
  readonly slow: number
  readonly draining: number
  /** Calls a replica serves at a time, where the backends declare it. */
  readonly slots: number | undefined
  /** Replicas whose starts we see ourselves; undefined: somebody else starts them. */
  readonly own?: { readonly startingMs: readonly number[]; readonly startsMs: readonly number[] }
  read(): LoadReport
}

export interface ScaledPool {
  readonly name: string
  readonly options: ScaleOptions
  readonly emitters: readonly Emitter[]
  /** Its replicas are processes of this gateway, which it scales for itself whoever leads. */
  readonly isOwn: boolean
}

/** Who speaks for all gateways, and what the others measure. */
export interface ScaleGroup {
  /** `alone`: nothing is shared, each gateway speaks for itself. */
  role(): 'alone' | 'leader' | 'follower'
  readonly token: number
  /** Tells the others what was measured here, and gives what they measured, newest reports only. */
  exchange(pool: string, own: Demand): Demand
}

export interface ScalerOptions {
  readonly clock: Clock
  readonly log: Log
  /** Undefined: there is no such pool (any more). */
  readonly look: (pool: string) => Look | undefined
  /** Whether a shared cache tier cannot be asked. */
  readonly isTierDown: () => boolean
  readonly crew: ScaleGroup
  /** How long nothing is said after the start: backends that are there have to register first. */
  readonly settleMs?: number
}

/** What the scaler says of a pool, for operators. */
export interface ScaleStatus {
  readonly signal: ScaleSignal
  readonly role: ReturnType<ScaleGroup['role']>
  /** False: the gateway has just started, and nobody is told yet. */
  readonly isSettled: boolean
  readonly emitters: readonly string[]
  readonly inflight: number
  readonly queue: number
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
}

const DECIDE_MS = 1_000
/** Between two decisions, however the load jumps. */
const LEAST_MS = 200
/** Three repetitions of the slowest emitter. */
const VALID_MS = 90_000
const SETTLE_MS = 20_000

export class Scaler {
  readonly #options: ScalerOptions
  readonly #lines = new Map<string, PoolScaling>()

  constructor(options: ScalerOptions) {
    this.#options = options
  }

  /** Takes over the pools that are to be scaled; what is remembered of those that stay is kept. Closes what is left out. */
  follow(pools: readonly ScaledPool[]): void {
    const named = new Set(pools.map(({ name }) => name))
    for (const [name, line] of this.#lines) {
      if (named.has(name)) continue
      for (const emitter of line.pool.emitters) emitter.close()
      this.#lines.delete(name)
    }
    for (const pool of pools) {
      const known = this.#lines.get(pool.name)
      if (!known) this.#lines.set(pool.name, this.#open(pool))
      else {
        for (const emitter of known.pool.emitters) if (!pool.emitters.includes(emitter)) emitter.close()
        known.pool = pool
      }
    }
  }

  /** To be called about every 100 ms. */
  tick(): void {
    const now = this.#options.clock.now()
    for (const line of this.#lines.values()) {
      const look = this.#options.look(line.pool.name)
      if (!look) continue
      const sinceMs = now - line.decidedAt
      const isWoken = look.level > 0 && line.memory?.moves.desired === 0
      const hasJumped = (isWoken || look.level > 2 * line.level + 2) && sinceMs >= LEAST_MS
      if (sinceMs >= DECIDE_MS || hasJumped) this.#decide(line, look, now)
    }
  }

  /** Answers were made unreachable: their calls will come as misses. `pool` undefined: everywhere. */
  lost(kind: 'flush' | 'deployment', pool?: string): void {
    const at = this.#options.clock.now()
    for (const line of this.#lines.values()) {
      if (pool !== undefined && pool !== line.pool.name) continue
      line.cache.lost({ kind, at, hitRatioLeft: 0 })
      // The misses are on their way: the next look decides.
      line.decidedAt = Number.NEGATIVE_INFINITY
    }
  }

  /** Undefined: this pool is not scaled, or nothing has been decided yet. */
  status(pool: string): ScaleStatus | undefined {
    const line = this.#lines.get(pool)
    if (!line?.signal) return undefined
    const { inflight, queue } = line.signal.decision.signals
    return {
      signal: line.signal,
      role: this.#role(line),
      isSettled: this.#isSettled(line),
      emitters: line.pool.emitters.map(({ name }) => name),
      inflight,
      queue,
    }
  }

  names(): readonly string[] {
    return [...this.#lines.keys()]
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
      awaiting: NOBODY_AWAITED,
      decidedAt: Number.NEGATIVE_INFINITY,
      level: 0,
      signal: undefined,
    }
  }

  #decide(line: PoolScaling, look: Look, now: number): void {
    const { pool } = line
    const options = look.slots === undefined ? pool.options : { slots: look.slots, ...pool.options }
    const demand = this.#demand(line, look, now)
    const decided = decide(line.memory, demand, options, now)
    line.memory = decided.memory
    line.decidedAt = now
    line.level = look.level
    this.#say(line, decided.decision)
  }

  #demand(line: PoolScaling, look: Look, now: number): Demand {
    const { pool } = line
    const { answeredShared, ...measured } = look.read()
    const { ready, slow, draining } = look
    const startMs = line.signal?.decision.signals.startMs ?? pool.options.startMs
    const desired = line.memory?.moves.desired ?? clamp(ready, pool.options)
    const awaited = awaitReplicas(line.awaiting, { desired, ready, startMs }, now)
    line.awaiting = awaited.awaiting
    const isUnheard = look.own === undefined && awaited.isUnheard
    if (line.memory && (isUnheard || !this.#isSettled(line))) {
      // What was asked for has not come, or we cannot know yet who is there: what is there is the present scale.
      if (isUnheard) this.#options.log.warn('scale.unheard', { pool: pool.name, desired, ready })
      const present = clamp(ready, pool.options)
      line.memory = { ...line.memory, moves: startMoves(present, now), pressure: NO_PRESSURE }
    }
    const { startingMs, startsMs } = look.own ?? awaited
    const cache = line.cache.note({
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
    }
    return pool.isOwn ? own : this.#options.crew.exchange(pool.name, own)
  }

  #say(line: PoolScaling, decision: Decision): void {
    const { clock, log, crew } = this.#options
    const { name } = line.pool
    const before = line.signal
    const isSame = before?.decision.desired === decision.desired
    const atMs = clock.wall()
    const id = isSame && before ? before.id : `${name}-${randomUUID()}`
    line.signal = { id, token: crew.token, pool: name, atMs, validUntilMs: atMs + VALID_MS, decision }
    if (!isSame && before) {
      const { desired, reason, sentence } = decision
      log.info('scale.changed', { pool: name, from: before.decision.desired, desired, reason, sentence })
    }
    if (!this.#isSettled(line) || this.#role(line) === 'follower') return
    for (const emitter of line.pool.emitters) emitter.emit(line.signal)
  }

  #role({ pool }: PoolScaling): ReturnType<ScaleGroup['role']> {
    return pool.isOwn ? 'alone' : this.#options.crew.role()
  }

  #isSettled({ pool, since }: PoolScaling): boolean {
    return pool.isOwn || this.#options.clock.now() - since >= (this.#options.settleMs ?? SETTLE_MS)
  }
}
