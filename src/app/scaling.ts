/** Connects the scaler to the settings, the pools, the emitters and the metrics. */
import type { ModelSettings, PoolSettings, Settings } from '../config/schema.ts'
import type { ModelProcesses } from '../control/processes.ts'
import type { Registry } from '../control/registry/registry.ts'
import { SCALE_DEFAULTS, type ScaleOptions } from '../control/scale/demand.ts'
import { describeScale, type ScaleDescription } from '../control/scale/describe.ts'
import {
  type Announced,
  type PoolSample,
  type ScaledPool,
  type ScaleGroup,
  Scaler,
} from '../control/scale/scaler.ts'
import type { Emitter, ScaleSignal } from '../control/scale/signal.ts'
import type { Log } from '../core/log.ts'
import type { Clock } from '../lib/clock.ts'
import type { FamilyName } from '../obs/families.ts'
import type { Metrics, Sample } from '../obs/metrics.ts'
import { type EmitSettings, openEmitter } from './emitters.ts'
import type { Parts } from './parts.ts'
import { promisedMs } from './settings-mapping.ts'
import type { LiveTls } from './tls.ts'
import type { DataPlanes } from './workers/data-planes.ts'

export interface ScalingOptions {
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  readonly data: Pick<DataPlanes, 'load'>
  readonly registry: Registry
  readonly processes: ModelProcesses
  readonly isTierDown: () => boolean
  readonly group: ScaleGroup
  readonly random: () => number
  readonly tls: LiveTls
  /** Custom parts. */
  readonly customParts: Parts
}

/** Assumed start time of a process on this machine, until a start was measured. */
const PROCESS_START_MS = 3_000

export class Scaling {
  readonly #options: ScalingOptions
  readonly #scaler: Scaler
  /** Emitters by their settings: a reload that does not change an emitter does not restart it. */
  #emitters = new Map<string, Emitter>()
  #following: Promise<void> = Promise.resolve()
  #embedded = new Set<string>()

  constructor(options: ScalingOptions) {
    this.#options = options
    const { clock, log, isTierDown, group } = options
    this.#scaler = new Scaler({ clock, log, isTierDown, group, sample: (pool) => this.#sample(pool) })
    this.#expose()
  }

  /** Applies the settings; resolves when every emitter is open. */
  follow(settings: Settings): Promise<void> {
    // An emitter that could not be opened does not block the next settings.
    this.#following = this.#following.catch(() => {}).then(() => this.#follow(settings))
    return this.#following
  }

  tick(): void {
    this.#scaler.tick()
  }

  /** As the admin API answers; undefined: no such pool, or it is not scaled. */
  describe(pool?: string): ScaleDescription | { readonly pools: readonly ScaleDescription[] } | undefined {
    return pool === undefined ? { pools: this.describeAll() } : this.#describe(pool)
  }

  describeAll(): readonly ScaleDescription[] {
    return this.#scaler.names().flatMap((name) => this.#describe(name) ?? [])
  }

  #describe(pool: string): ScaleDescription | undefined {
    const status = this.#scaler.status(pool)
    return status && describeScale(status)
  }

  /** The newest signal of a pool, for autoscalers that poll. */
  signal(pool: string): ScaleSignal | undefined {
    return this.#scaler.status(pool)?.signal
  }

  cacheLost(kind: 'flush' | 'deployment', pool?: string): void {
    this.#scaler.cacheLost(kind, pool)
  }

  /** Misses that are about to be sent to a pool; undefined: none are announced any more. */
  expect(pool: string, announced: Announced | undefined): void {
    this.#scaler.expect(pool, announced)
  }

  /** Replicas of a pool for so many misses a second; undefined: unknown. */
  replicasFor(pool: string, perSecond: number): number | undefined {
    return this.#scaler.replicasFor(pool, perSecond)
  }

  close(): void {
    this.#scaler.close()
  }

  async #follow({ pools, models }: Settings): Promise<void> {
    const open = new Map<string, Emitter>()
    const scaled: ScaledPool[] = []
    for (const [name, pool] of Object.entries(pools)) {
      if (!pool.scale) continue
      const emitters: Emitter[] = []
      for (const emit of pool.scale.emit) emitters.push(await this.#emitter(name, emit, open))
      scaled.push({ name, options: poolOptions(pool, pool.scale), emitters, isEmbedded: false })
    }
    const elastic = models.filter(({ replicas }) => replicas.max > replicas.min)
    for (const model of elastic)
      scaled.push({
        name: model.name,
        options: modelOptions(model),
        emitters: [this.#starter()],
        isEmbedded: true,
      })
    this.#embedded = new Set(elastic.map(({ name }) => name))
    this.#emitters = open
    this.#scaler.follow(scaled)
  }

  async #emitter(pool: string, settings: EmitSettings, open: Map<string, Emitter>): Promise<Emitter> {
    const key = JSON.stringify([pool, settings])
    const known = this.#emitters.get(key) ?? open.get(key)
    const emitter = known ?? (await openEmitter(pool, settings, this.#options))
    open.set(key, emitter)
    return emitter
  }

  #starter(): Emitter {
    const { processes } = this.#options
    return {
      name: 'processes',
      emit: ({ pool, decision }) => processes.scaleTo(pool, decision.desired),
      close: () => {},
    }
  }

  #sample(pool: string): PoolSample | undefined {
    const { data, registry, processes } = this.#options
    const load = data.load(pool)
    const view = registry.views().find((known) => known.pool === pool)
    if (!load || !view) return undefined
    // A suspect backend has missed its lease but still serves.
    const serving = view.backends.filter(({ state }) => state === 'ready' || state === 'suspect')
    const draining = view.backends.filter(({ state }) => state === 'draining').length
    const sample = { ...load, ready: serving.length, draining, read: () => load.read() }
    if (!this.#embedded.has(pool)) return sample
    const ready = new Set(serving.map(({ id }) => id))
    const report = processes.report(pool)
    const starting = report.wanted.filter(({ id }) => !ready.has(id))
    return {
      ...sample,
      ready: report.wanted.length - starting.length,
      embedded: { startingMs: starting.map(({ ageMs }) => ageMs), startsMs: report.startsMs },
    }
  }

  #expose(): void {
    const { metrics } = this.#options
    const gauge = (
      name: FamilyName<'gauge'>,
      value: (decision: ScaleSignal['decision']) => number | undefined,
    ) =>
      metrics.gauge(name, () =>
        this.#scaler.names().flatMap((pool): Sample[] => {
          const signal = this.signal(pool)
          const found = signal && value(signal.decision)
          return found === undefined ? [] : [{ labels: { pool }, value: found }]
        }),
      )
    gauge('infergate_scale_desired_replicas', ({ desired }) => desired)
    gauge('infergate_scale_max_replicas', ({ max }) => max)
    gauge('infergate_scale_capped', ({ isCapped }) => Number(isCapped))
    gauge('infergate_scale_ready_replicas', ({ ready }) => ready)
    gauge('infergate_scale_starting_replicas', ({ starting }) => starting)
    gauge('infergate_scale_misses_per_second', ({ signals }) => signals.missesPerSecond)
    gauge('infergate_scale_hit_ratio', ({ signals }) => signals.hitRatio)
    gauge('infergate_scale_concurrency', ({ signals }) => signals.concurrency.mean)
    gauge('infergate_scale_concurrency_p95', ({ signals }) => signals.concurrency.p95)
    gauge('infergate_scale_busy_slots', ({ signals }) => signals.erlangs)
    gauge('infergate_scale_needed_slots', ({ signals }) => signals.slotsNeeded)
    gauge('infergate_scale_tokens_per_second', ({ signals }) => signals.tokens?.perSecond)
    gauge('infergate_scale_replica_tokens_per_second', ({ signals }) => signals.tokens?.replicaPerSecond)
    gauge('infergate_scale_queue', ({ signals }) => signals.queue)
    gauge('infergate_scale_ineffective', ({ scalingIneffective }) => Number(scalingIneffective))
    gauge('infergate_scale_slo_feasible', ({ sloFeasible }) => Number(sloFeasible))
  }
}

type Windows = NonNullable<PoolSettings['scale']>['windows']

function windowsOf({ fast, stable, down }: Windows): Pick<ScaleOptions, 'fastMs' | 'stableMs' | 'downMs'> {
  return { fastMs: fast, stableMs: stable, downMs: down }
}

/** Most down windows for which a level is kept while it is unknown whether its load comes back. */
const UNKNOWN_WINDOWS = 3

function poolOptions(pool: PoolSettings, scale: NonNullable<PoolSettings['scale']>): ScaleOptions {
  const { min, max, windows } = scale
  const unknownMs = UNKNOWN_WINDOWS * windows.down
  return {
    ...SCALE_DEFAULTS,
    min,
    max,
    ...windowsOf(windows),
    unknownMs,
    ...promiseOf(pool.slo),
  }
}

/** Generations that wait are worked off in about the time in which a server of them starts. */
const TOKEN_DRAIN_MS = 60_000

function promiseOf(slo: PoolSettings['slo']): Pick<ScaleOptions, 'sloMs' | 'itlMs'> & Partial<ScaleOptions> {
  if (!slo) return {}
  const sloMs = promisedMs(slo)
  return slo.itl === undefined ? { sloMs } : { sloMs, itlMs: slo.itl, drainMs: TOKEN_DRAIN_MS }
}

function modelOptions({ replicas, scale, slo }: ModelSettings): ScaleOptions {
  return {
    ...SCALE_DEFAULTS,
    ...replicas,
    ...windowsOf(scale.windows),
    startMs: PROCESS_START_MS,
    // A process of this machine that is needed again starts within a second or two.
    unknownMs: scale.windows.down,
    zeroAfterMs: Math.max(scale.windows.down, scale.windows.stable),
    ...(slo ? { sloMs: slo.p95 } : {}),
  }
}
