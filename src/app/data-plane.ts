/**
 * The data plane, put together: from the listener to the connections to the backends. What the settings may
 * change while calls run is replaced as a whole; caches, flights and connections stay.
 */
import { randomUUID } from 'node:crypto'
import type { Settings } from '../config/schema.ts'
import type { HostPort } from '../core/addresses.ts'
import type { Digest } from '../core/key.ts'
import type { Log } from '../core/log.ts'
import type { Observer } from '../core/observer.ts'
import type { OutlierState } from '../data/balance/outliers/outlier-state.ts'
import type { LoadTable } from '../data/balance/table.ts'
import { isBusy, maxBatchOf } from '../data/batch/room.ts'
import type { Tiered } from '../data/cache/tiered.ts'
import { Admission } from '../data/decision/admission.ts'
import { type CacheDecisions, createCacheDecisions } from '../data/decision/cache-decision.ts'
import type { Claims } from '../data/flight/claims.ts'
import { Flights } from '../data/flight/flights.ts'
import { HitForMiss } from '../data/flight/hit-for-miss.ts'
import { Leases, leasesPay } from '../data/flight/leases.ts'
import { Aliases } from '../data/hits/aliases.ts'
import { MemoryHits } from '../data/hits/memory-hit.ts'
import { ReadyAnswers } from '../data/hits/ready.ts'
import { createSharedHit, type SharedHit } from '../data/hits/shared-hit.ts'
import { createHttpCache, type HttpCache } from '../data/http-cache/http-cache.ts'
import { createIngress, type Ingress } from '../data/ingress/ingress.ts'
import type { Deployments } from '../data/key/deployment.ts'
import type { Epochs } from '../data/key/epochs.ts'
import { createKeyer, type Keyer } from '../data/key/keyer.ts'
import { refusalKey } from '../data/key/refusal.ts'
import { createVersionRules, type VersionRules, type VersionStatement } from '../data/key/statements.ts'
import { ModelStats } from '../data/measure/model-stats.ts'
import type { Matched } from '../data/route/routes.ts'
import type { LoadResult, RefusalOf } from '../data/rows/lookup-context.ts'
import type { Finding } from '../data/rows/splitter.ts'
import { createCompose } from '../data/serve/compose.ts'
import { calledBy, type ExplainQuery, type Explanation, explain } from '../data/serve/explain.ts'
import { createFetch, type Fetch } from '../data/serve/fetch.ts'
import { Fill } from '../data/serve/fill.ts'
import { createPipeline, type Pipeline } from '../data/serve/pipeline.ts'
import { createDispatch } from '../data/upstream/dispatch.ts'
import { createForward, type Forward } from '../data/upstream/forward.ts'
import type { Dispatch } from '../data/upstream/upstream-call.ts'
import type { Clock } from '../lib/clock.ts'
import type { EventLoopLag } from '../lib/event-loop-lag.ts'
import type { Wheel } from '../lib/wheel.ts'
import { readyBytes } from './cache.ts'
import { countAnswered } from './demand.ts'
import { type LiveSettings, liveOf } from './live.ts'
import { createOutgoing, type OutgoingFields } from './outgoing-fields.ts'
import type { Parts } from './parts.ts'
import { Pools } from './pools.ts'
import { createLearnt, type Learnt } from './rows.ts'
import type { PoolDefaults } from './settings-mapping.ts'
import type { DataStats } from './workers/merge.ts'
import type { ReportedForm } from './workers/messages.ts'

export interface DataPlaneParts {
  readonly settings: Settings
  readonly poolDefaults: PoolDefaults
  /** Parts of one's own, by name. */
  readonly ownParts: Parts
  readonly cache: Tiered
  /** What keys cover of purges and deployments. */
  readonly facts: KeyFacts
  readonly table: LoadTable
  readonly outliers: OutlierState
  /** Undefined: this process has one worker. */
  readonly claims: Claims | undefined
  readonly observer: Observer
  readonly log: Log
  readonly clock: Clock
  readonly wheel: Wheel
  /** Of this thread; runs already. */
  readonly eventLoopLag: EventLoopLag
  readonly random: () => number
  /** The gateway's own listeners, which no backend may be. */
  readonly own: () => readonly HostPort[]
  /** Told of what answers say of their version. */
  readonly stated: (statement: VersionStatement) => void
  /** A call has loaded or unloaded a model. Resolves when what was kept of it is out of reach; never rejects. */
  readonly redeployed: (pool: string, model: string) => Promise<void>
  /** Told when it turns out whether a model may be split, for the other workers; left out: there are none. */
  readonly split?: (found: Finding) => void
}

export interface KeyFacts {
  readonly epochs: Pick<Epochs, 'peek' | 'load' | 'revision'>
  readonly deployments: Pick<Deployments, 'peek' | 'load' | 'mayKeep' | 'revision'>
}

const MAX_WAITERS = 1000

export class DataPlane {
  readonly pools: Pools
  readonly models = new ModelStats()
  readonly flights = new Flights<LoadResult>({ maxWaiters: MAX_WAITERS })
  readonly ingress: Ingress
  readonly #parts: DataPlaneParts
  readonly #ready: ReadyAnswers
  readonly #keyer: Keyer
  readonly #decisions: CacheDecisions
  readonly #memory: string
  readonly #learnt: Learnt
  readonly #admission: Admission
  readonly #eventLoopLag: EventLoopLag
  readonly #http: HttpCache
  readonly #versions: VersionRules
  /** Undefined: there is no shared tier. */
  readonly #aliases: Aliases | undefined
  #live: LiveSettings

  constructor(parts: DataPlaneParts) {
    this.#parts = parts
    const { settings, clock, log, random, wheel } = parts
    this.#ready = new ReadyAnswers({ maxBytes: readyBytes(settings) / parts.table.workers, clock })
    if (settings.cache.tiers.some(({ type }) => type !== 'memory')) this.#aliases = new Aliases(clock)
    this.#memory = settings.cache.tiers.find(({ type }) => type === 'memory')?.name ?? 'memory'
    this.#live = liveOf(settings, this.#parts.ownParts)
    this.pools = new Pools({
      ...parts,
      policies: parts.ownParts.policies,
      bodyTimeoutMs: settings.server.limits.requestTimeout,
    })
    this.pools.shape(settings)
    this.#admission = new Admission({ workers: parts.table.workers })
    this.#keyer = createKeyer({ ...parts.facts, clock })
    this.#decisions = createCacheDecisions(this.#keyer)
    this.#eventLoopLag = parts.eventLoopLag
    this.#versions = createVersionRules(parts.facts.deployments, parts.stated)
    const meter = (route: string) => this.pools.find(this.#live.poolOf.get(route))?.demand
    const observer = countAnswered(this.models.observing(parts.observer), meter, this.#memory)
    const outgoing = createOutgoing(() => this.#live)
    const dispatch = createDispatch({
      pool: (name) => this.pools.get(name),
      observer,
      clock,
      random,
      stalled: (now) => this.#eventLoopLag.total(now),
    })
    this.#learnt = createLearnt({
      ...parts,
      dispatch,
      outgoing,
      observer,
      split: parts.split,
      token: (matched) => this.#token(matched),
      queueing: (pool) => this.pools.find(pool)?.isQueueing ?? false,
    })
    const forward = createForward({ dispatch, outgoing, redeployed: parts.redeployed })
    const upstream = { dispatch, outgoing, observer, forward }
    this.#http = this.#httpCache(upstream)
    const answer = this.#pipeline(upstream)
    this.ingress = createIngress({
      live: () => this.#live,
      answer,
      memoryHit: new MemoryHits({
        live: () => this.#live,
        decisions: this.#decisions,
        ready: this.#ready,
        admission: this.#admission,
        memory: this.#memory,
        observer,
        clock,
      }),
      sharedHit: this.#sharedHit(observer),
      observer,
      log,
      clock,
      wheel,
      mintId: randomUUID,
    })
  }

  #pipeline({ dispatch, outgoing, observer, forward }: Upstream): Pipeline {
    const { cache, claims, clock, random } = this.#parts
    const { splitting, forms } = this.#learnt
    const memory = this.#memory
    const refusalOf: RefusalOf = ({ call, raw }) => refusalKey(call, raw, outgoing(call))
    return createPipeline({
      decisions: this.#decisions,
      cache,
      memory,
      ready: this.#ready,
      aliases: this.#aliases,
      flights: this.flights,
      hitForMiss: new HitForMiss(clock),
      admission: this.#admission,
      splitting,
      forms,
      http: this.#http,
      claims,
      fill: new Fill({
        cache,
        claims,
        forms,
        fetch: this.#fetch(dispatch, outgoing),
        leases: this.#leases(),
        ...this.#versions,
        refusalOf,
        clock,
        random,
      }),
      mayGive: this.#versions.mayGive,
      compose: createCompose({ forward, splitting, forms, observer, clock, memory }),
      forward,
      refusalOf,
      clock,
    })
  }

  #httpCache({ dispatch, outgoing, forward }: Upstream): HttpCache {
    const { cache, claims, log, clock, random } = this.#parts
    return createHttpCache({
      cache,
      memory: this.#memory,
      claims,
      leases: this.#leases(),
      dispatch,
      outgoing,
      forward,
      mayKeep: this.#versions.mayKeep,
      keyer: this.#keyer,
      route: (asked) => this.#live.route(asked),
      log,
      clock,
      random,
    })
  }

  #sharedHit(observer: Observer): SharedHit | undefined {
    const { cache, clock, settings } = this.#parts
    if (!this.#aliases) return undefined
    return createSharedHit({
      live: () => this.#live,
      decisions: this.#decisions,
      aliases: this.#aliases,
      cache,
      mayGive: this.#versions.mayGive,
      ready: readyBytes(settings) > 0 ? this.#ready : undefined,
      admission: this.#admission,
      observer,
      clock,
    })
  }

  /** Of the deployment that answers. */
  #token({ route, target }: Matched): string {
    return this.#parts.facts.deployments.peek(route.pool, target)?.value ?? ''
  }

  #fetch(dispatch: Dispatch, outgoing: OutgoingFields): Fetch {
    const { clock } = this.#parts
    return createFetch({
      dispatch,
      outgoing,
      splitting: this.#learnt.splitting,
      busy: (pool) => isBusy(this.pools.get(pool).view.backends, (slot) => this.pools.inflight(slot)),
      maxBatch: ({ route, target }) => maxBatchOf(this.pools.get(route.pool).view.backends, target.model),
      serviceMs: (pool) => this.pools.get(pool).serviceMs(0.9) ?? 0,
      clock,
    })
  }

  /** Gateways wait for each other where they share a tier with leases, and where it pays. */
  #leases(): (matched: Matched) => Leases | undefined {
    const { cache, clock } = this.#parts
    const leases = cache.leases && new Leases({ leases: cache.leases, clock })
    return ({ route }) => {
      const mode = route.cache?.leases ?? 'never'
      return leases && leasesPay(mode, this.pools.get(route.pool).serviceMs(0.5)) ? leases : undefined
    }
  }

  /** Routes, limits and pools as the new settings have them; calls under way end as they began. */
  reload(settings: Settings): void {
    this.pools.shape(settings)
    this.#live = liveOf(settings, this.#parts.ownParts)
  }

  /** What was kept may have become unreachable. */
  changed(): void {
    this.#ready.clear()
  }

  /** Makes the answer under a key unreachable; false where a tier could not be told. */
  forget(digest: Digest): Promise<boolean> {
    // Nobody may join a load for it any more.
    this.flights.retire(digest)
    this.#ready.clear()
    return this.#parts.cache.remove(digest)
  }

  /** What the backends' metadata say of the forms in which they are asked. */
  said({ pool, model, form }: ReportedForm): void {
    this.#learnt.forms.tell(pool, model, form)
  }

  /** Another worker has found out whether a model may be split. */
  heardOf(found: Finding): void {
    this.#learnt.splitter.heard(found)
  }

  stats(): DataStats {
    return {
      ...this.#parts.cache.stats(),
      flights: this.flights.size + this.#http.flights,
      models: this.models.all(),
    }
  }

  async explain(asked: ExplainQuery): Promise<Explanation> {
    const { call, matched } = calledBy(asked, this.#live.route)
    return explain(
      {
        keyer: this.#keyer,
        decisions: this.#decisions,
        http: this.#http,
        cache: this.#parts.cache,
        memory: this.#memory,
        splitting: this.#learnt.splitting,
        wall: () => this.#parts.clock.wall(),
      },
      call,
      matched,
    )
  }

  start(): void {
    this.pools.start()
  }

  async close(): Promise<void> {
    this.#eventLoopLag.stop()
    await this.pools.close()
  }
}

interface Upstream {
  readonly dispatch: Dispatch
  readonly outgoing: OutgoingFields
  readonly observer: Observer
  readonly forward: Forward
}
