/**
 * The data plane as the control plane sees it, however many threads it has. The first worker runs in this thread, so that
 * the port answers as soon as the process can; further ones join it on the same port, each in a thread of its own. What
 * is settled for the whole process is settled here. Everything that passes is plain data.
 */
import type { Settings } from '../../config/schema.ts'
import type { HostPort } from '../../core/addresses.ts'
import type { PoolView } from '../../core/backend.ts'
import type { PoolTraffic } from '../../data/backend/traffic.ts'
import { inflightOf, type LoadTable } from '../../data/balance/table.ts'
import type { VersionStatement } from '../../data/key/statements.ts'
import type { ExplainQuery, Explanation } from '../../data/serve/explain.ts'
import type { Clock } from '../../lib/clock.ts'
import { EventLoopLag } from '../../lib/event-loop-lag.ts'
import type { ProcessLog } from '../../obs/log.ts'
import type { Metrics, MetricsSnapshot } from '../../obs/metrics.ts'
import { type Cache, openCache } from '../cache.ts'
import type { PoolLoad } from '../demand.ts'
import { observing } from '../observing.ts'
import type { LoadedParts, Parts } from '../parts.ts'
import { checkFree } from '../ports.ts'
import type { PoolDefaults } from '../settings-mapping.ts'
import { SharedFacts } from '../shared-facts.ts'
import { DataWorker } from './data-worker.ts'
import { type DataStats, mergeStats, mergeTraffic } from './merge.ts'
import type { ReportedForm } from './messages.ts'
import { allocateState, type SharedState, shareOf, type WorkerShare } from './shared-state.ts'
import { Threads } from './threads.ts'

/** How long a call that loads a model waits at its end for the other workers to have heard of it. */
const REDEPLOYED_MS = 1_000

export interface DataPlanesParts {
  readonly settings: Settings
  /** How many workers there are to be, the one in this thread among them. */
  readonly workers: number
  readonly poolDefaults: PoolDefaults
  readonly parts: LoadedParts | undefined
  readonly log: ProcessLog
  readonly metrics: Metrics
  readonly clock: Clock
  readonly random: () => number
  /** The gateway's own listeners, which no backend may be. */
  readonly ownListeners: () => readonly HostPort[]
  /** Called for a model whose deployment nobody has told of, when it is first called. */
  readonly unknownModel: (pool: string, model: string) => void
  /** A backend has answered well. */
  readonly alive: (pool: string, backend: string) => void
  /** An answer says of which version it is. */
  readonly stated: (statement: VersionStatement) => void
  /** A call has loaded or unloaded a model; what was kept of it is out of reach. */
  readonly redeployed: (pool: string, model: string) => void
}

export async function openDataPlanes(parts: DataPlanesParts): Promise<DataPlanes> {
  const { settings, workers, clock, log, metrics } = parts
  if (workers > 1) await checkFree(settings.server.listen)
  const shared = allocateState(settings, workers)
  const share = shareOf(shared, { worker: 0, settings, clock })
  const eventLoopLag = new EventLoopLag(clock)
  eventLoopLag.start()
  const stalled = (now: number) => eventLoopLag.total(now)
  const customParts = parts.parts?.parts ?? {}
  const memory = share.memory
  const cache = await openCache(settings, { clock, log, observer: metrics, memory, stalled, customParts })
  return new DataPlanes({ ...parts, customParts, shared, share, cache, eventLoopLag })
}

interface Opened extends DataPlanesParts {
  readonly customParts: Parts
  readonly shared: SharedState
  readonly share: WorkerShare
  readonly cache: Cache
  readonly eventLoopLag: EventLoopLag
}

export class DataPlanes {
  /** What keys cover, for the whole process. */
  readonly facts: SharedFacts
  readonly #settings: Settings
  readonly #cache: Cache
  readonly #table: LoadTable
  readonly #worker: DataWorker
  readonly #threads: Threads
  readonly #onRedeployed: DataPlanesParts['redeployed']

  constructor(parts: Opened) {
    this.#settings = parts.settings
    this.#cache = parts.cache
    this.#table = parts.share.table
    this.#onRedeployed = parts.redeployed
    this.facts = new SharedFacts({
      ...parts,
      changed: () => this.#worker.plane.changed(),
      forget: async (digest) =>
        (await Promise.all([this.#worker.plane.forget(digest), this.#threads.forget(digest)])).every(Boolean),
      copies: {
        epoch: (name, epoch) => this.#threads.epoch(name, epoch),
        deployment: (pool, model, state) => this.#threads.deployment(pool, model, state),
      },
    })
    this.#worker = new DataWorker({
      ...parts,
      ...parts.share,
      facts: this.facts,
      observer: observing(parts),
      redeployed: (pool, model) => this.#redeployed(pool, model),
      split: (finding) => this.#threads.addFinding(finding),
    })
    this.#threads = new Threads({
      ...parts,
      facts: this.facts,
      redeployed: (pool, model) => this.#redeployed(pool, model),
      split: (finding) => this.#worker.plane.addFinding(finding),
    })
  }

  async #redeployed(pool: string, model: string): Promise<void> {
    await this.facts.deployments.redeployed(pool, model)
    this.#onRedeployed(pool, model)
    await this.sync(REDEPLOYED_MS).catch(() => {})
  }

  /** Begins with what need not listen: polls, ramps, queues. */
  start(): void {
    this.facts.start()
    this.#worker.start()
  }

  /** Resolves when this thread listens; the others come as they are ready. Rejects with the listener's error. */
  async listen(): Promise<HostPort> {
    const at = await this.#worker.listen(this.#settings.server.listen)
    this.#threads.start(at)
    return at
  }

  apply(view: PoolView): void {
    this.#worker.plane.pools.apply(view)
    this.#threads.apply(view)
  }

  /** What the backends' metadata say of the forms in which they are asked. */
  declareForm(form: ReportedForm): void {
    this.#worker.plane.declareForm(form)
    this.#threads.declareForm(form)
  }

  reload(settings: Settings): void {
    this.#worker.reload(settings)
    this.#threads.reload(settings)
  }

  /** Calls running on a slot, over all workers. */
  inflight(slot: number): number {
    return inflightOf(this.#table, slot)
  }

  /** How many calls the other gateways have running on a slot. */
  peers(slot: number, calls: number): void {
    this.#table.peers[slot] = calls
  }

  /** What is asked of a pool's backends, for the scaler; undefined: no such pool. */
  load(pool: string): PoolLoad | undefined {
    const own = this.#worker.plane.pools.load(pool)
    return own && this.#threads.load(pool, own)
  }

  /** How the calls of a pool are faring; undefined: no such pool. */
  traffic(pool: string): PoolTraffic | undefined {
    const own = this.#worker.plane.pools.traffic(pool)
    return own && mergeTraffic([own, ...this.#threads.traffic(pool)])
  }

  explain(query: ExplainQuery): Promise<Explanation> {
    return this.#worker.plane.explain(query)
  }

  async stats(): Promise<DataStats> {
    const others = await this.#threads.stats()
    return mergeStats([this.#worker.plane.stats(), ...others])
  }

  /** What other threads have counted. */
  metrics(): Promise<readonly MetricsSnapshot[]> {
    return this.#threads.metrics()
  }

  /** Whether a shared tier is not asked at present. */
  isTierDown(): boolean {
    return this.#cache.stats().tiers.some(({ state }) => state === 'open')
  }

  /** What is wrong with the shared tiers, for a person. */
  tierProblems(): readonly string[] {
    return this.#cache
      .stats()
      .tiers.flatMap(({ name, trouble }) => (trouble === undefined ? [] : `cache tier ${name}: ${trouble}`))
  }

  /** Resolves when every worker has heard what it was told up to now; rejects where one does not say so in time. */
  sync(withinMs: number): Promise<void> {
    // What is told in this thread is heard at once.
    return this.#threads.sync(withinMs)
  }

  /** How many workers there are to be. */
  get workers(): number {
    return this.#table.workers
  }

  /** Workers that listen; 0: no call is taken. */
  get listening(): number {
    return (this.#worker.isListening ? 1 : 0) + this.#threads.listening
  }

  /** Takes calls as before, and ends connections with their answers, so that their clients go elsewhere. */
  leave(): void {
    this.#worker.leave()
    this.#threads.leave()
  }

  /** Refuses new connections and lets running calls finish for at most so long. */
  async drain(timeoutMs: number): Promise<void> {
    await Promise.all([this.#worker.drain(timeoutMs), this.#threads.drain(timeoutMs)])
  }

  async close(): Promise<void> {
    this.facts.stop()
    await this.#threads.close()
    await this.#worker.close()
  }
}
