/**
 * Keeps rollouts going: once a second it reads them from their store, moves those on that this gateway leads, and does what follows from
 * each. It rests while there is none.
 */
import type { RolloutView } from '../../core/live.ts'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Announced, ScaleGroup } from '../scale/scaler.ts'
import { advance } from './advance.ts'
import { overruled, type RolloutRefusal, type Split, type StartRequest, startRollout } from './commands.ts'
import { addMeasures, deedsOf, type Measures, NO_MEASURES, routeOf } from './measures.ts'
import { PeerMeasures } from './peers.ts'
import { comparisons, describePlan, type PlannedStep, planOf, smallestSample } from './plan.ts'
import { effectsOf, isOver, type Rollout, type RolloutSeen, type Warmth } from './state.ts'
import { type Kept, LocalRolloutStore, type RolloutStore } from './store.ts'
import { viewOf } from './view.ts'

/** What a rollout needs of the rest of the gateway. */
export interface RolloutPorts {
  /** The split of a route, in force; undefined: there is no such route, or it has one pool. */
  split(route: string): Split | undefined
  weigh(route: string, weights: Readonly<Record<string, number>>): void
  /** What was seen here since the last time. */
  measure(): Promise<Measures>
  replicas(pool: string): RolloutSeen['replicas']
  /** For the scaler. */
  expect(pool: string, announced: Announced | undefined): void
  replicasFor(pool: string, perSecond: number): number | undefined
  /** Has the new pool answer a share of the misses as well, and the answers compared. Left out: it cannot. */
  mirror?(route: string, setting: { readonly pool: string; readonly share: number } | undefined): void
  /** Left out: it cannot. */
  readonly warming?: {
    /** Begins to ask the hot keys of a route of a pool, or goes on. */
    start(route: string, pool: string): void
    stop(route: string): void
    status(route: string, pool: string): Warmth | undefined
  }
}

export interface RolloutsOptions {
  readonly clock: Clock
  readonly log: Log
  readonly ports: RolloutPorts
  readonly group: Pick<ScaleGroup, 'role'>
  /** Left out: this gateway shares nothing. */
  readonly store?: RolloutStore | undefined
  /** The unique name of this gateway. */
  readonly instance: string
  /** Called with each new sentence. */
  readonly told: (view: RolloutView) => void
}

export interface DryRun {
  readonly route: string
  readonly from: string
  readonly to: string
  readonly steps: readonly PlannedStep[]
  readonly sentences: readonly string[]
}

const EVERY_MS = 1_000
/** How long the route is looked at for a dry run. */
const LOOK_MS = 3_000
/** The share of the hits that a new pool is taken to have in a dry run, once it is warmed. */
const WARMED = 0.9
/** Attempts of a command against others who write at the same time. */
const TRIES = 5

export class Rollouts {
  readonly #options: RolloutsOptions
  readonly #store: RolloutStore
  readonly #isShared: boolean
  readonly #peers: PeerMeasures
  #kept: ReadonlyMap<string, Kept> = new Map()
  /** Which weights were set last for each route, so that an operator's later word holds, and what was said. */
  readonly #applied = new Map<string, { readonly weighed: string; readonly said: string }>()
  #readAt = 0
  #cancel: (() => void) | undefined
  #isClosed = false
  #isUnreachable = false

  constructor(options: RolloutsOptions) {
    this.#options = options
    this.#store = options.store ?? new LocalRolloutStore()
    this.#isShared = options.store !== undefined
    this.#peers = new PeerMeasures(this.#store, options.instance)
  }

  start(): void {
    if (this.#isShared) this.#later(0)
  }

  close(): void {
    this.#isClosed = true
    this.#cancel?.()
  }

  list(): readonly RolloutView[] {
    return [...this.#kept.values()].map(({ rollout }) => viewOf(rollout))
  }

  find(route: string): RolloutView | undefined {
    const kept = this.#kept.get(route)
    return kept && viewOf(kept.rollout)
  }

  /** The pools that are being moved between, where the weights of a route are the rollout's to change. */
  isMoving(route: string): boolean {
    const kept = this.#kept.get(route)
    return kept !== undefined && !isOver(kept.rollout)
  }

  async begin(request: StartRequest): Promise<RolloutView | RolloutRefusal> {
    const { ports } = this.#options
    const split = ports.split(request.route)
    if (!split) return { refused: `the route "${request.route}" has no split: ${SPLIT_FIX}` }
    return this.#write(request.route, (present) => {
      if (present && !isOver(present))
        return { refused: `a rollout of "${request.route}" is going on: ${present.sentence}` }
      return startRollout(request, split, this.#now())
    })
  }

  /** Undefined: there was never a rollout of this route. */
  async command(
    route: string,
    change: (rollout: Rollout, now: number) => Rollout | RolloutRefusal,
  ): Promise<RolloutView | RolloutRefusal | undefined> {
    await this.#read()
    if (!this.#kept.has(route)) return undefined
    return this.#write(route, (present) =>
      present ? change(present, this.#now()) : { refused: 'it is gone' },
    )
  }

  /** What a rollout would do; it looks at the route for some seconds. */
  async dryRun(request: StartRequest): Promise<DryRun | RolloutRefusal> {
    const { ports, clock } = this.#options
    const split = ports.split(request.route)
    if (!split) return { refused: `the route "${request.route}" has no split: ${SPLIT_FIX}` }
    const rollout = startRollout(request, split, this.#now())
    if ('refused' in rollout) return rollout
    const { from, to, route, options } = rollout
    // While another rollout is measured, its share of what is seen is not taken away.
    if (!this.#isBusy()) await ports.measure()
    const began = clock.now()
    await new Promise<void>((resolve) => void clock.after(LOOK_MS, resolve))
    const seen = this.#isBusy() ? NO_MEASURES : await ports.measure()
    const seconds = Math.max(0.001, (clock.now() - began) / 1000)
    const { calls, misses } = routeOf(seen, route)
    const { old } = deedsOf(seen, rollout)
    const isCompared = options.compare > 0 && ports.mirror !== undefined
    const failing = old.calls === 0 ? 0 : old.bad / old.calls
    const sample = options.sample ?? smallestSample(failing, { ...options, isCompared })
    const warmth = options.warm ? ports.warming?.status(route, to) : undefined
    const known = {
      perSecond: calls / seconds,
      missesPerSecond: misses / seconds,
      coverage: warmth ? Math.max(WARMED, warmth.coverage) : 0,
      replicasFor: (perSecond: number) =>
        ports.replicasFor(to, perSecond) ?? ports.replicasFor(from, perSecond),
    }
    const steps = planOf(known, {
      ...options,
      sample,
      comparisons: comparisons(sample, options),
      mirrored: isCompared ? options.compare : 0,
    })
    return { route, from, to, steps, sentences: describePlan(steps, to) }
  }

  #now(): number {
    return this.#options.clock.wall()
  }

  #isBusy(): boolean {
    return [...this.#kept.values()].some(({ rollout }) => !isOver(rollout))
  }

  async #write(
    route: string,
    change: (present: Rollout | undefined) => Rollout | RolloutRefusal,
  ): Promise<RolloutView | RolloutRefusal> {
    for (let i = 0; i < TRIES; i++) {
      await this.#read()
      const kept = this.#kept.get(route)
      const next = change(kept?.rollout)
      if ('refused' in next) return next
      if (!(await this.#store.write(next, kept?.revision ?? 0))) continue
      await this.#read()
      this.#apply()
      if (!this.#cancel) this.#later(EVERY_MS)
      return viewOf(next)
    }
    return { refused: 'other gateways change this rollout at the same time: try again' }
  }

  async #read(): Promise<void> {
    this.#kept = await this.#store.read()
  }

  #later(ms: number): void {
    if (this.#isClosed) return
    this.#cancel?.()
    this.#cancel = this.#options.clock.after(ms, () => void this.#round())
  }

  async #round(): Promise<void> {
    const { log } = this.#options
    try {
      await this.#read()
      if (this.#isBusy()) await this.#goOn()
      else this.#readAt = 0
      this.#apply()
      this.#isUnreachable = false
    } catch (error) {
      // The weights stay as they are, and nothing moves.
      if (!this.#isUnreachable && !this.#isClosed) log.warn('rollout.store', { error: String(error) })
      this.#isUnreachable = true
    }
    this.#cancel = undefined
    if (this.#isShared || this.#isBusy()) this.#later(EVERY_MS)
  }

  async #goOn(): Promise<void> {
    const { clock, group, ports } = this.#options
    if (this.#readAt === 0) {
      // What was seen while there was none belongs to none.
      await ports.measure()
      this.#readAt = clock.now()
      return
    }
    const measures = await this.#measure()
    const sinceMs = clock.now() - this.#readAt
    this.#readAt = clock.now()
    if (group.role() === 'follower') return
    for (const kept of this.#kept.values()) await this.#advance(kept, { measures, sinceMs })
    await this.#read()
  }

  async #measure(): Promise<Measures> {
    const own = await this.#options.ports.measure()
    return this.#isShared ? this.#peers.exchange(own) : addMeasures(own, NO_MEASURES)
  }

  async #advance(
    { rollout, revision }: Kept,
    { measures, sinceMs }: { measures: Measures; sinceMs: number },
  ): Promise<void> {
    if (isOver(rollout)) return
    const { ports } = this.#options
    const { route, to, options } = rollout
    const now = this.#now()
    const seen: RolloutSeen = {
      now,
      sinceMs,
      deeds: deedsOf(measures, rollout),
      route: routeOf(measures, route),
      replicas: ports.replicas(to),
      warm: options.warm ? ports.warming?.status(route, to) : undefined,
      canCompare: ports.mirror !== undefined,
    }
    const next =
      ports.split(route)?.written === rollout.written ? advance(rollout, seen) : overruled(rollout, now)
    // Where another gateway was faster, its word holds.
    await this.#store.write(next, revision)
  }

  /** Does what follows from each rollout. */
  #apply(): void {
    for (const { rollout } of this.#kept.values()) {
      const { route, id, sentence, share } = rollout
      const before = this.#applied.get(route)
      const weighed = `${id} ${share}`
      const said = rollout.history.at(-1)?.sentence ?? sentence
      const isKnown = before !== undefined || !isOver(rollout)
      if (before?.weighed !== weighed) this.#weigh(rollout, isKnown)
      if (before?.said !== said || !isOver(rollout)) this.#effect(rollout)
      this.#applied.set(route, { weighed, said })
      if (before?.said !== said && isKnown) this.#tell(rollout, said)
    }
  }

  /** What went back before this gateway began has the weights of the YAML, or those that an operator gave since. */
  #weigh(rollout: Rollout, isKnown: boolean): void {
    const { ports } = this.#options
    const { route, phase, reason, written } = rollout
    const isOwn = reason !== 'settings' && ports.split(route)?.written === written
    if (isOwn && (isKnown || phase === 'done')) ports.weigh(route, effectsOf(rollout).weights)
  }

  #effect(rollout: Rollout): void {
    const { ports } = this.#options
    const { route, from, to } = rollout
    const { warms, mirrored, expected } = effectsOf(rollout)
    ports.mirror?.(route, mirrored > 0 ? { pool: to, share: mirrored } : undefined)
    if (warms) ports.warming?.start(route, to)
    else ports.warming?.stop(route)
    for (const pool of [from, to]) {
      const perSecond = expected[pool] ?? 0
      ports.expect(pool, perSecond > 0 ? { perSecond, like: from } : undefined)
    }
  }

  #tell(rollout: Rollout, sentence: string): void {
    const { log, told } = this.#options
    const { route, from, to, phase, reason } = rollout
    const level = phase === 'back' && reason !== 'operator' ? 'warn' : 'info'
    log[level]('rollout.said', { route, from, to, phase, ...(reason ? { reason } : {}), sentence })
    told(viewOf(rollout))
  }
}

const SPLIT_FIX =
  'write split: [{ pool: OLD, weight: 100 }, { pool: NEW, weight: 0 }] in the YAML instead of pool, so that there are two to move between'
