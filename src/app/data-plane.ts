/**
 * The data plane of one thread: what src/data assembles, connected to the settings, the pools and the counters of a
 * gateway. A reload replaces the settings that may change while calls run as a whole; caches, flights and connections
 * stay.
 */
import type { Settings } from '../config/schema.ts'
import type { HostPort } from '../core/addresses.ts'
import type { Digest } from '../core/key.ts'
import type { Log } from '../core/log.ts'
import type { MirrorTotals } from '../core/mirror.ts'
import type { Observer } from '../core/observer.ts'
import { type Assembly, assemble, backendsOf, type KeyFacts } from '../data/assemble.ts'
import { type Credentials, NO_CREDENTIALS } from '../data/auth/authenticator.ts'
import type { OutlierState } from '../data/balance/outliers/outlier-state.ts'
import type { LoadTable } from '../data/balance/table.ts'
import type { Tiered } from '../data/cache/tiered.ts'
import type { CallOutbox } from '../data/calls/call-outbox.ts'
import type { LimitTable } from '../data/decision/limit-table.ts'
import type { QuotaTable } from '../data/decision/quota-table.ts'
import type { Claims } from '../data/flight/claims.ts'
import type { RelayRequest } from '../data/generation/relay.ts'
import type { RequestRelay } from '../data/generation/relayed-generation.ts'
import type { Ingress } from '../data/ingress/ingress.ts'
import type { ShownForm } from '../data/key/forms.ts'
import type { VersionStatement } from '../data/key/statements.ts'
import { ModelStats } from '../data/measure/model-stats.ts'
import { TenantUsage } from '../data/measure/tenant-usage.ts'
import type { Recorder } from '../data/record/recorder.ts'
import type { Finding } from '../data/rows/splitter.ts'
import { calledBy, type ExplainQuery, type Explanation } from '../data/serve/explain.ts'
import type { AskAgain } from '../data/warm/ask-again.ts'
import type { Samples } from '../data/warm/samples.ts'
import type { Clock } from '../lib/clock.ts'
import type { EventLoopLag } from '../lib/event-loop-lag.ts'
import type { Wheel } from '../lib/wheel.ts'
import { readyBytes } from './cache.ts'
import { countAnswered } from './demand.ts'
import { type LiveSettings, liveOf } from './live-settings.ts'
import type { Parts } from './parts.ts'
import { Pools } from './pools.ts'
import type { PoolDefaults } from './settings-mapping.ts'
import type { LiveTls } from './tls.ts'
import { type TrafficChange, withChange } from './traffic-change.ts'
import type { DataStats } from './workers/merge.ts'
import type { ReportedForm } from './workers/messages.ts'

export interface DataPlaneParts {
  readonly settings: Settings
  readonly poolDefaults: PoolDefaults
  readonly tls: LiveTls
  /** Custom parts, by name. */
  readonly customParts: Parts
  readonly cache: Tiered
  /** The purge epochs and deployments that keys cover. */
  readonly facts: KeyFacts
  readonly table: LoadTable
  readonly outliers: OutlierState
  /** Undefined: this process has one worker. */
  readonly claims: Claims | undefined
  /** Asks another worker to pass on a generation. */
  readonly requestRelay: RequestRelay
  readonly limits: LimitTable
  readonly quotas: QuotaTable
  readonly observer: Observer
  readonly log: Log
  readonly clock: Clock
  readonly wheel: Wheel
  /** The measurement of this thread, already started. */
  readonly eventLoopLag: EventLoopLag
  readonly random: () => number
  /** The gateway's own listeners: a backend at such an address is refused. */
  readonly ownListeners: () => readonly HostPort[]
  /** Called with the version that an answer states. */
  readonly stated: (statement: VersionStatement) => void
  /**
   * Called when a call has loaded or unloaded a model. Resolves when the answers of the old model are unreachable;
   * never rejects.
   */
  readonly redeployed: (pool: string, model: string) => Promise<void>
  /** Called when a token names a key that a key set does not have. Resolves when the set was read again, or just before. */
  readonly keyMissing: (jwks: string) => Promise<void>
  /** Called with each finding on whether a model may be split, for the other workers; left out: there are none. */
  readonly split?: (found: Finding) => void
  /** Called with each form that a server has shown, for the other workers; left out: there are none. */
  readonly formShown?: (shown: ShownForm) => void
  readonly recorder: Recorder
  /** Takes the lines of the access log. */
  readonly outbox: CallOutbox
}

export class DataPlane {
  readonly pools: Pools
  readonly usage = new TenantUsage()
  readonly #models = new ModelStats()
  readonly #parts: DataPlaneParts
  readonly #assembly: Assembly
  #settings: Settings
  #credentials: Credentials = NO_CREDENTIALS
  #live: LiveSettings

  constructor(parts: DataPlaneParts) {
    this.#parts = parts
    const { settings, customParts, clock, random, eventLoopLag } = parts
    const { workers } = parts.table
    this.#settings = settings
    this.#live = this.#newLive()
    const pools = new Pools({
      ...parts,
      policies: customParts.policies,
      bodyTimeoutMs: settings.server.limits.requestTimeout,
    })
    pools.shape(settings)
    this.pools = pools
    const memory = settings.cache.tiers.find(({ type }) => type === 'memory')?.name ?? 'memory'
    const observer = this.#counting(memory)
    this.#assembly = assemble({
      ...parts,
      live: () => this.#live,
      memory,
      readyBytes: readyBytes(settings) / workers,
      workers,
      observer,
      backends: backendsOf({
        pool: (name) => pools.get(name),
        find: (name) => pools.find(name),
        inflight: (slot) => pools.inflight(slot),
        stalled: (now) => eventLoopLag.total(now),
        observer,
        clock,
        random,
      }),
    })
    this.#shapeSamples()
  }

  /** The bound of a sample is that of all workers. */
  #shapeSamples(): void {
    const { workers } = this.#parts.table
    const bounds = this.#settings.routes.flatMap(({ name, warm }) =>
      warm ? [[name, warm.keep / workers] as const] : [],
    )
    this.#assembly.samples.shape(new Map(bounds))
  }

  /** Calls that are kept to be asked again. */
  get samples(): Pick<Samples, 'best' | 'requests' | 'sizes'> {
    return this.#assembly.samples
  }

  get askAgain(): AskAgain {
    return this.#assembly.askAgain
  }

  /** A purge epoch was replaced. */
  purged(epoch: string): void {
    this.#assembly.samples.purged(epoch)
  }

  /** The observer, wrapped to count calls for tenants, for models and for the scaler. */
  #counting(memory: string): Observer {
    const meter = (pool: string | undefined) => this.pools.find(pool)?.demand
    const observer = this.usage.observing(this.#models.observing(this.#parts.observer))
    return countAnswered(observer, meter, memory)
  }

  get ingress(): Ingress {
    return this.#assembly.ingress
  }

  /** Takes over the routes, limits and pools of the new settings; calls in progress end under the old ones. */
  reload(settings: Settings): void {
    this.pools.shape(settings)
    this.#settings = settings
    this.#live = this.#newLive()
    this.#shapeSamples()
  }

  /** Takes over the weights of a route's split, or where copies go. Nothing but the calls that must move is concerned. */
  weigh(change: TrafficChange): void {
    this.#settings = withChange(this.#settings, change)
    if ('weights' in change) this.#live.weights.get(change.route)?.change(change.weights)
    else this.#live.mirrors.get(change.route)?.change(change.mirror)
  }

  /** What became of copies of calls since this was asked last. */
  takeMirrored(): readonly MirrorTotals[] {
    return this.#assembly.mirrored.take()
  }

  /** Takes over the credentials that do not stand in the settings. What was verified by those that stay is still verified. */
  credentials(credentials: Credentials): void {
    this.#credentials = credentials
    this.#live = this.#newLive()
  }

  #newLive(): LiveSettings {
    const { customParts: custom, keyMissing, clock, random, outbox, settings: started } = this.#parts
    return liveOf(this.#settings, {
      custom,
      isSecure: started.server.tls !== undefined,
      credentials: this.#credentials,
      keyMissing,
      clock,
      random,
      outbox,
      previous: this.#live,
    })
  }

  /** A purge or a deployment may have made stored answers unreachable. */
  changed(): void {
    this.#assembly.changed()
  }

  /** Makes the answer under a key unreachable; false where a tier could not be reached. */
  forget(digest: Digest): Promise<boolean> {
    return this.#assembly.forget(digest)
  }

  /** Takes over which request forms the backends' metadata declare. */
  declareForm({ pool, model, form }: ReportedForm): void {
    this.#assembly.forms.declare(pool, model, form)
  }

  /** Takes over a form that a server has shown to another worker. */
  addShownForm(shown: ShownForm): void {
    this.#assembly.forms.apply(shown)
  }

  /** Takes over what another worker has found out about splitting a model. */
  addFinding(found: Finding): void {
    this.#assembly.splitter.apply(found)
  }

  /** Answers another worker that asks for a generation. */
  relay(request: RelayRequest): void {
    this.#assembly.relay(request)
  }

  stats(): DataStats {
    return { ...this.#parts.cache.stats(), flights: this.#assembly.loads, models: this.#models.all() }
  }

  async explain(query: ExplainQuery): Promise<Explanation> {
    const { call, matched } = await calledBy(query, this.#live)
    return this.#assembly.explain(call, matched)
  }

  start(): void {
    this.pools.start()
  }

  async close(): Promise<void> {
    this.#parts.eventLoopLag.stop()
    await this.pools.close()
  }
}
