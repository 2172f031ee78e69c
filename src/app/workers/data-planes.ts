/**
 * The data plane of all threads, as the control plane sees it. The first worker runs in the main thread, so that the
 * port opens as soon as the process can serve; further ones join it on the same port, each in a thread of its own.
 * State of the whole process is decided here. Only plain data passes between threads.
 */
import type { Settings } from '../../config/schema.ts'
import type { TlsMaterial } from '../../control/certificates/certificates.ts'
import type { BackendCredentials } from '../../control/credentials/backend-credentials.ts'
import type { HostPort } from '../../core/addresses.ts'
import type { Backend, PoolView } from '../../core/backend.ts'
import type { BackendLoad, LoadFault } from '../../core/backend-load.ts'
import type { Digest } from '../../core/key.ts'
import type { Credentials } from '../../data/auth/authenticator.ts'
import type { PoolTraffic } from '../../data/backend/traffic.ts'
import { PeerDemands } from '../../data/balance/fair/peer-demands.ts'
import { PeerShares } from '../../data/balance/fair/peer-shares.ts'
import type { OutlierState } from '../../data/balance/outliers/outlier-state.ts'
import { reportLoad, reportOf } from '../../data/balance/reported-load.ts'
import { incarnationOf, inflightOf, type LoadTable, loadOf } from '../../data/balance/table.ts'
import { PeerLimits } from '../../data/decision/peer-limits.ts'
import type { QuotaTable } from '../../data/decision/quota-table.ts'
import type { ExplainQuery, Explanation } from '../../data/serve/explain.ts'
import type { Clock } from '../../lib/clock.ts'
import type { CallTotals } from '../../obs/call-counts.ts'
import type { MetricsSnapshot } from '../../obs/metrics.ts'
import { type Cache, memoryBytes } from '../cache.ts'
import { measureCache, measureMemory } from '../cache-metrics.ts'
import { CallLog } from '../call-log.ts'
import type { PoolLoad } from '../demand.ts'
import { AllMirrorTotals } from '../mirror-totals.ts'
import { countConnections, observing } from '../observing.ts'
import type { InheritedSockets } from '../ports.ts'
import { PredictionLog } from '../prediction-log/prediction-log.ts'
import { createRecorder } from '../prediction-log/recorder.ts'
import { SharedFacts } from '../shared-facts.ts'
import type { Snapshots } from '../snapshot/snapshots.ts'
import { TenantTotals } from '../tenant-totals.ts'
import type { TrafficChange } from '../traffic-change.ts'
import type { DataPlanesParts, OpenedDataPlanes } from './data-planes-parts.ts'
import { DataWorker } from './data-worker.ts'
import { type DataStats, mergeStats, mergeTraffic } from './merge.ts'
import type { ReportedForm } from './messages.ts'
import { Threads } from './threads.ts'
import { type WarmAccess, warmAccess } from './warm-access.ts'

/** How long a call that loads a model waits at its end for the other workers to confirm the new deployment. */
const REDEPLOYED_MS = 1_000
/** Time to publish prediction logs where calls have used up that of the drain. */
const MIN_CLOSE_MS = 1_000

export class DataPlanes {
  /** The purge epochs and deployments that keys cover, for the whole process. */
  readonly facts: SharedFacts
  /** The limits of tenants that the other gateways use as well. */
  readonly limits: PeerLimits
  readonly quotas: QuotaTable
  /** What tenants were served of the pools. */
  readonly shares: PeerShares
  /** Who waits for the pools. */
  readonly demands: PeerDemands
  readonly outliers: OutlierState
  readonly calls: CallLog
  readonly snapshots: Snapshots | undefined
  readonly #settings: Settings
  /** Those in force now. */
  #reloaded: Settings
  readonly #inherited: InheritedSockets | undefined
  readonly #cache: Cache
  readonly #table: LoadTable
  readonly #clock: Clock
  readonly #worker: DataWorker
  readonly #threads: Threads
  readonly #predictions: PredictionLog
  readonly #tenants = new TenantTotals()
  readonly #mirrored = new AllMirrorTotals()
  readonly #onRedeployed: DataPlanesParts['redeployed']

  constructor(parts: OpenedDataPlanes) {
    this.#settings = parts.settings
    this.#reloaded = parts.settings
    this.#inherited = parts.inherited
    this.#cache = parts.cache
    this.#table = parts.share.table
    this.#clock = parts.clock
    this.limits = new PeerLimits(parts.shared.limits, { worker: 0, now: () => parts.clock.now() })
    this.quotas = parts.share.quotas
    this.outliers = parts.share.outliers
    this.shares = new PeerShares(parts.share.table.shares)
    this.demands = new PeerDemands({ ...parts.share.table, now: () => parts.clock.now() })
    this.#onRedeployed = parts.redeployed
    this.snapshots = parts.snapshots
    this.facts = this.#sharedFacts(parts)
    const queued = parts.shared.queuedPredictions
    this.#predictions = new PredictionLog({ ...parts, queued, stores: parts.settings.stores })
    this.calls = new CallLog({ ...parts, queued: parts.shared.queuedCalls })
    const take = (batch: Uint8Array<ArrayBuffer>) => this.#predictions.take(batch)
    this.#worker = new DataWorker({
      ...parts,
      ...parts.share,
      facts: this.facts,
      observer: observing(parts),
      ...countConnections(parts.metrics),
      redeployed: (pool, model) => this.#redeployed(pool, model),
      split: (finding) => this.#threads.addFinding(finding),
      formShown: (shown) => this.#threads.addShownForm(shown),
      requestRelay: (worker, request) => this.#threads.relay({ worker, request }),
      recorder: createRecorder({ ...parts, queued, send: take }),
      outbox: this.calls.outbox,
    })
    this.#threads = new Threads({
      ...parts,
      facts: this.facts,
      redeployed: (pool, model) => this.#redeployed(pool, model),
      split: (finding) => this.#worker.plane.addFinding(finding),
      formShown: (shown) => this.#worker.plane.addShownForm(shown),
      relay: (request) => this.#worker.plane.relay(request),
      predictions: take,
      calls: (batch) => this.calls.take(batch),
      used: (report) => this.#tenants.add(report),
      mirrored: (report) => void this.#mirrored.add(report),
    })
    this.#tenants.measure(parts.metrics)
    this.#mirrored.measure(parts.metrics)
    measureCache(parts.metrics, parts.cache)
    measureMemory(parts.metrics, parts.cache, memoryBytes(parts.settings))
    parts.metrics.gauge('infergate_workers', () => [{ labels: {}, value: this.listening }])
  }

  #sharedFacts(parts: OpenedDataPlanes): SharedFacts {
    return new SharedFacts({
      ...parts,
      changed: () => this.#worker.plane.changed(),
      purged: (epoch) => this.#worker.plane.purged(epoch),
      deployed: parts.deployed,
      kept: parts.snapshots?.kept,
      voided: this.snapshots && (() => this.#voided()),
      forget: (digest) => this.#forget(digest),
      copies: {
        epoch: (name, epoch) => this.#threads.epoch(name, epoch),
        deployment: (pool, model, state) => this.#threads.deployment(pool, model, state),
      },
    })
  }

  async #forget(digest: Digest): Promise<boolean> {
    const told = [this.#worker.plane.forget(digest), this.#threads.forget(digest), this.#voided()]
    return (await Promise.all(told)).every(Boolean)
  }

  /** What a file has of the answers does not hold any more; false: it could not be removed. */
  async #voided(): Promise<boolean> {
    return this.snapshots?.voided() ?? true
  }

  async #redeployed(pool: string, model: string): Promise<void> {
    await this.facts.deployments.redeployed(pool, model)
    if (this.#settings.cache.tiers.length === 1) await this.#voided()
    this.#onRedeployed(pool, model)
    await this.sync(REDEPLOYED_MS).catch(() => {})
  }

  /** Starts what needs no listener: polls, slow start, queues. */
  start(): void {
    this.#predictions.follow(this.#settings)
    this.facts.start()
    this.#worker.start()
    this.snapshots?.start({ facts: this.facts, cache: this.#cache, settings: () => this.#reloaded })
  }

  /** Resolves when this thread listens; the others follow as they start. Rejects with the listener's error. */
  async listen(): Promise<HostPort> {
    const socket = this.#inherited?.descriptors[0]
    const { listen } = this.#settings.server
    const at = await this.#worker.listen(socket === undefined ? listen : { ...listen, socket })
    this.#threads.start(at)
    return at
  }

  apply(view: PoolView): void {
    this.#worker.plane.pools.apply(view)
    this.#threads.apply(view)
  }

  /** Takes over which request forms the backends' metadata declare. */
  declareForm(form: ReportedForm): void {
    this.#worker.plane.declareForm(form)
    this.#threads.declareForm(form)
  }

  reload(settings: Settings): void {
    this.#reloaded = settings
    this.#predictions.follow(settings)
    this.#worker.reload(settings)
    this.#threads.reload(settings)
  }

  /** Takes over the weights of a route's split, or where copies go, for calls that begin from now on. */
  weigh(change: TrafficChange): void {
    this.#worker.plane.weigh(change)
    this.#threads.weigh(change)
  }

  /** What became of copies of calls, as far as other workers have told; half a second ago at most. */
  mirrored(): AllMirrorTotals {
    return this.#mirrored.add(this.#worker.plane.takeMirrored())
  }

  /** Takes over changed certificates. */
  secure(material: TlsMaterial): void {
    this.#worker.secure(material)
    this.#threads.secure(material)
  }

  /** Takes over the credentials that do not stand in the settings. */
  credentials(credentials: Credentials): void {
    this.#worker.plane.credentials(credentials)
    this.#threads.credentials(credentials)
  }

  /** Takes over the credentials towards backends, by pool. */
  authorize(credentials: BackendCredentials): void {
    this.#worker.plane.pools.authorize(credentials)
    this.#threads.authorize(credentials)
  }

  /** Running calls of a slot, over all workers. */
  inflight(slot: number): number {
    return inflightOf(this.#table, slot)
  }

  /** Sets how many calls the other gateways have running on a slot. */
  peers(slot: number, calls: number): void {
    this.#table.peers[slot] = calls
  }

  /** Takes over what a backend says of its own load. */
  reportLoad({ id, generation, slot }: Backend, load: BackendLoad | LoadFault): void {
    // The slot may have passed to another backend meanwhile.
    if (this.#table.incarnation[slot] !== incarnationOf(id, generation)) return
    reportLoad(this.#table.reports, slot, load, {
      now: this.#clock.now(),
      known: loadOf(this.#table, slot),
    })
  }

  /** What a backend says of its own load, on its metrics page or on answers. */
  reportedLoad(slot: number): BackendLoad | LoadFault {
    return reportOf(this.#table.reports, slot)
  }

  /** The load on a pool's backends, for the scaler; undefined: no such pool. */
  load(pool: string): PoolLoad | undefined {
    const own = this.#worker.plane.pools.load(pool)
    return own && this.#threads.load(pool, own)
  }

  /** The state of a pool's traffic; undefined: no such pool. */
  traffic(pool: string): PoolTraffic | undefined {
    const own = this.#worker.plane.pools.traffic(pool)
    return own && mergeTraffic([own, ...this.#threads.traffic(pool)])
  }

  /** What warming needs of the workers. */
  get warming(): WarmAccess {
    return warmAccess(this.#worker.plane, this.#threads)
  }

  explain(query: ExplainQuery): Promise<Explanation> {
    return this.#worker.plane.explain(query)
  }

  async stats(): Promise<DataStats> {
    const others = await this.#threads.stats()
    return mergeStats([this.#worker.plane.stats(), ...others])
  }

  /** What tenants have used up to now, in all workers that answer in time. */
  async tenants(): Promise<TenantTotals> {
    await this.#threads.tellUsage()
    this.#tenants.add(this.#worker.plane.usage.take())
    return this.#tenants
  }

  /** The metrics of the other threads; what this thread counts for all, such as what tenants have used, is up to date then. */
  async metrics(): Promise<readonly MetricsSnapshot[]> {
    await this.tenants()
    this.mirrored()
    return this.#threads.metrics()
  }

  /** The calls and attempts of each other worker since it started, by its number. */
  callTotals(): Promise<ReadonlyMap<number, CallTotals>> {
    return this.#threads.callTotals()
  }

  /** Whether the circuit breaker of a shared tier is open. */
  isTierDown(): boolean {
    return this.#cache.stats().tiers.some(({ state }) => state === 'open')
  }

  /** The problems of the shared tiers, as messages for people. */
  tierProblems(): readonly string[] {
    return this.#cache
      .stats()
      .tiers.flatMap(({ name, trouble }) => (trouble === undefined ? [] : `cache tier ${name}: ${trouble}`))
  }

  /** What is wrong with the prediction logs, as messages for people. */
  logProblems(): readonly string[] {
    return this.#predictions.problems
  }

  /** Resolves when every worker has handled all earlier messages; rejects where one does not confirm in time. */
  sync(withinMs: number): Promise<void> {
    // The worker of this thread is called directly and needs no confirmation.
    return this.#threads.sync(withinMs)
  }

  /** The number of workers. */
  get workers(): number {
    return this.#table.workers
  }

  /** The number of workers that listen; 0: no call is taken. */
  get listening(): number {
    return (this.#worker.isListening ? 1 : 0) + this.#threads.listening
  }

  /** Still takes calls, but closes each connection with its answer, so that clients go elsewhere. */
  leave(): void {
    this.#worker.leave()
    this.#threads.leave()
  }

  /** Refuses new connections, lets running calls finish for at most so long, and writes what is kept of them. */
  async drain(timeoutMs: number): Promise<void> {
    const until = this.#clock.now() + timeoutMs
    await Promise.all([this.#worker.drain(timeoutMs), this.#threads.drain(timeoutMs)])
    const leftMs = Math.max(MIN_CLOSE_MS, Math.ceil(until - this.#clock.now()))
    await Promise.all([this.#predictions.close(leftMs), this.calls.close(), this.snapshots?.close(leftMs)])
  }

  async close(): Promise<void> {
    this.facts.stop()
    await this.#threads.close()
    await this.#worker.close()
  }
}
