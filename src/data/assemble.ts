/**
 * Assembles a data plane from its rooms: cache, flights, batches, pipeline, hits, HTTP cache and ingress, on top of the pools
 * that the caller provides. The gateway calls it for each thread. The tests use the same function, so that they test the
 * pipeline and the hits as the gateway runs them.
 */
import type { Backend, Transport } from '../core/backend.ts'
import type { Call } from '../core/call.ts'
import type { Digest } from '../core/key.ts'
import type { Log } from '../core/log.ts'
import type { Observer } from '../core/observer.ts'
import { RequestIds } from '../core/request-id.ts'
import type { Clock } from '../lib/clock.ts'
import type { Wheel } from '../lib/wheel.ts'
import type { AuthLive } from './auth/authenticator.ts'
import type { BackendPool } from './backend/pool.ts'
import { isBusy, maxBatchOf } from './batch/capacity.ts'
import type { Tiered } from './cache/tiered.ts'
import { Admission } from './decision/admission.ts'
import { createCacheDecisions } from './decision/cache-decision.ts'
import type { LimitTable } from './decision/limit-table.ts'
import type { QuotaTable } from './decision/quota-table.ts'
import { TenantLimits } from './decision/tenant-limits.ts'
import { UpstreamAdmission } from './decision/upstream-admission.ts'
import type { Claims } from './flight/claims.ts'
import { Flights } from './flight/flights.ts'
import { HitForMiss } from './flight/hit-for-miss.ts'
import { Leases, leasesPay } from './flight/leases.ts'
import { GenerationTable } from './generation/generation-table.ts'
import { type RelayRequest, relay } from './generation/relay.ts'
import type { RequestRelay } from './generation/relayed-generation.ts'
import { Aliases } from './hits/aliases.ts'
import { FastRefusals } from './hits/fast-refusal.ts'
import { MemoryHits } from './hits/memory-hit.ts'
import { ReadyAnswers } from './hits/ready-answers.ts'
import { createSharedHit } from './hits/shared-hit.ts'
import { createOutgoing, type ProxyTrust } from './http/outgoing-fields.ts'
import { createHttpCache } from './http-cache/http-cache.ts'
import { createIngress, type Ingress } from './ingress/ingress.ts'
import type { Deployments } from './key/deployment.ts'
import type { Epochs } from './key/epochs.ts'
import type { Forms, ShownForm } from './key/forms.ts'
import { createKeyer } from './key/keyer.ts'
import { refusalKey } from './key/refusal.ts'
import { createVersionRules, type VersionStatement } from './key/statements.ts'
import { TypicalCosts } from './measure/typical-cost.ts'
import { DifferenceLog } from './mirror/difference-log.ts'
import { createMirroring } from './mirror/mirror.ts'
import { MirrorLimits } from './mirror/mirror-limits.ts'
import { MirrorUsage } from './mirror/mirror-usage.ts'
import type { Recorder } from './record/recorder.ts'
import { recording } from './record/recording.ts'
import type { Matched } from './route/routes.ts'
import { type LoadResult, type RefusalOf, rawOf } from './rows/lookup-context.ts'
import { createModelTraits } from './rows/model-traits.ts'
import type { Finding, Splitter } from './rows/splitter.ts'
import { createCompose } from './serve/compose.ts'
import { type Explanation, explain } from './serve/explain.ts'
import { createFetch } from './serve/fetch.ts'
import { Fill } from './serve/fill.ts'
import { createModelList } from './serve/model-list.ts'
import { createPoolPipeline, type Pipeline } from './serve/pipeline.ts'
import { createTraffic } from './serve/traffic.ts'
import { type AskBackend, createAskBackend } from './upstream/ask-backend.ts'
import { createDispatch, type DispatchParts } from './upstream/dispatch.ts'
import { createForward } from './upstream/forward.ts'
import { createSendOnce } from './upstream/send-once.ts'
import { translated } from './upstream/translated.ts'
import type { Dispatch } from './upstream/upstream-call.ts'
import { AskAgain } from './warm/ask-again.ts'
import { Samples } from './warm/samples.ts'

export interface AssemblyParts {
  /** What the settings may change while calls run; asked once a call. */
  readonly live: () => AuthLive & ProxyTrust
  readonly cache: Tiered
  /** The name of process memory in the settings. */
  readonly memory: string
  /** The most bytes that ready answers may take in this thread; 0: there is no process memory. */
  readonly readyBytes: number
  /** The purge epochs and deployments that keys cover. */
  readonly facts: KeyFacts
  /** Undefined: this process has one worker. */
  readonly claims: Claims | undefined
  /** Asks another worker to pass on a generation. */
  readonly requestRelay: RequestRelay
  /** How many workers may serve the calls of one caller. */
  readonly workers: number
  /** What tenants have used, in all workers. */
  readonly limits: LimitTable
  /** The same of their quotas. */
  readonly quotas: QuotaTable
  readonly backends: Backends
  readonly observer: Observer
  readonly log: Log
  readonly clock: Clock
  readonly wheel: Wheel
  readonly random: () => number
  /** Called with the version that an answer states. */
  readonly stated: (statement: VersionStatement) => void
  /** Called when a call has loaded or unloaded a model. Resolves when the model's entries are unreachable; never rejects. */
  readonly redeployed: (pool: string, model: string) => Promise<void>
  /** Called with each finding of the splitter, for the other workers; left out: there are none. */
  readonly split?: ((found: Finding) => void) | undefined
  /** Called with each form that a server has shown, for the other workers; left out: there are none. */
  readonly formShown?: ((shown: ShownForm) => void) | undefined
  /** Gets the records of routes with a prediction log; left out: no route may have one. */
  readonly recorder?: Recorder | undefined
}

export interface KeyFacts {
  readonly epochs: Pick<Epochs, 'peek' | 'load' | 'revision'>
  readonly deployments: Pick<Deployments, 'peek' | 'load' | 'mayKeep' | 'revision'>
}

/** The pools of backends, as calls need them. */
export interface Backends {
  readonly dispatch: Dispatch
  /** For copies: once, and where there is a place at once. */
  readonly sendOnce: Dispatch
  /** Whether a backend of a pool may take calls of the transport. */
  hasTransport(pool: string, transport: Transport): boolean
  /** The backends of a pool. */
  members(pool: string): readonly Backend[]
  /** Asks one of them for what it has ready. */
  ask(pool: string, ...asked: Parameters<AskBackend>): ReturnType<AskBackend>
  /** Whether calls wait in the admission queue of a pool. */
  queueing(pool: string): boolean
  /** Whether every backend of a pool is at capacity. */
  busy(pool: string): boolean
  /** The most rows in one request that all backends of the pool accept for the call's model, if they declare it. */
  maxBatch(of: Matched): number | undefined
  /** A quantile of a pool's service time, in milliseconds; undefined: it has not answered yet. */
  serviceMs(pool: string, quantile: number): number | undefined
}

/** An assembled data plane. */
export interface Assembly {
  readonly ingress: Ingress
  /** Answers calls that do not come through a door. */
  readonly answer: Pipeline
  /** The calls that are kept to be asked again. */
  readonly samples: Samples
  readonly askAgain: AskAgain
  /** Running loads, of the pipeline and of HTTP's own cache. */
  readonly loads: number
  readonly ready: ReadyAnswers
  readonly splitter: Splitter
  readonly forms: Forms
  /** What became of copies of calls. */
  readonly mirrored: MirrorUsage
  /** To be called when entries may have become unreachable, as after a purge. */
  changed(): void
  /** Removes the entry under a key; false if a tier could not be reached. */
  forget(digest: Digest): Promise<boolean>
  /** Answers another worker that asks for a generation. */
  relay(request: RelayRequest): void
  explain(call: Call, matched: Matched): Promise<Explanation>
}

const MAX_WAITERS = 1000

export function assemble(parts: AssemblyParts): Assembly {
  const { cache, memory, clock } = parts
  const base = foundations(parts)
  const { flights, generations, ready, keyer, decisions, splitting } = base
  const http = createHttpCache({
    ...parts,
    ...base,
    mayKeep: base.versions.mayKeep,
    route: (asked) => parts.live().route(asked),
  })
  const models = createModelList({ ...parts.backends, ...base, clock })
  const inPool = createPoolPipeline({ ...pipelineParts(parts, base), http, models })
  const pipeline = createTraffic({ ...parts, upstream: base.upstream, answer: inPool })
  const { recorder } = parts
  const ids = new RequestIds()
  const mintId = () => ids.next()
  const answer = recorder ? recording({ answer: pipeline, recorder, clock }) : pipeline
  return {
    answer,
    ingress: createIngress({ ...parts, ...hits(parts, base), answer, mintId }),
    samples: base.samples,
    askAgain: new AskAgain({ ...parts, ...base, answer: inPool, mintId }),
    get loads() {
      return flights.size + generations.size + http.flights
    },
    ready,
    mirrored: base.mirrored,
    splitter: base.splitter,
    forms: base.forms,
    changed: () => ready.clear(),
    forget(digest) {
      // A running load for the key would bring the old entry back to callers who join it.
      flights.retire(digest)
      generations.retire(digest)
      ready.clear()
      base.samples.forget(digest)
      return cache.remove(digest)
    },
    relay: (request) => relay({ generations, flights }, request),
    explain: (call, matched) =>
      explain(
        { keyer, decisions, http, cache, memory, splitting, random: parts.random, wall: () => clock.wall() },
        call,
        matched,
      ),
  }
}

type Foundations = ReturnType<typeof foundations>

/** Makes what several rooms share. */
function foundations(parts: AssemblyParts) {
  const { live, cache, facts, workers, readyBytes, clock } = parts
  const { backends } = parts
  const { queueing, hasTransport } = backends
  const supports = (matched: Matched, form: number) => traits.forms.has(matched, form)
  const translating = (dispatch: Dispatch) => translated({ dispatch, hasTransport, supports })
  const unlimited = translating(backends.dispatch)
  const mirrored = new MirrorUsage()
  const mirroring = createMirroring({
    ...parts,
    sendOnce: translating(backends.sendOnce),
    limits: new MirrorLimits(workers),
    usage: mirrored,
    differences: new DifferenceLog(parts),
  })
  const limits = new TenantLimits(parts)
  const upstream = new UpstreamAdmission(limits, parts.observer)
  // A copy is the gateway's own: no tenant pays for it.
  const dispatch = upstream.within(mirroring(unlimited))
  const keyer = createKeyer({ ...facts, clock })
  const outgoing = createOutgoing(live)
  const token = ({ route, target }: Matched) => facts.deployments.peek(route.pool, target)?.value ?? ''
  // Comparisons that prove something of a model are the gateway's own, and no tenant pays for them.
  const traits = createModelTraits({
    ...parts,
    dispatch: unlimited,
    outgoing,
    split: parts.split,
    formShown: parts.formShown,
    token,
    queueing,
  })
  return {
    keyer,
    decisions: createCacheDecisions(keyer),
    admission: new Admission({ workers, limits }),
    ready: new ReadyAnswers({ maxBytes: readyBytes, clock }),
    aliases: cache.hasShared ? new Aliases(clock) : undefined,
    samples: new Samples({ live, keyer, clock, random: parts.random }),
    flights: new Flights<LoadResult>({ maxWaiters: MAX_WAITERS, clock }),
    generations: new GenerationTable(parts),
    typicalCosts: new TypicalCosts(clock),
    versions: createVersionRules(facts.deployments, parts.stated),
    leases: leasesOf(parts),
    dispatch,
    mirrored,
    mirroring,
    upstream,
    outgoing,
    forward: createForward({ dispatch, outgoing, redeployed: parts.redeployed }),
    ...traits,
  }
}

/** The leases of a route: if gateways share a tier that has leases, and waiting for another gateway is worth it. */
function leasesOf({ cache, clock, backends }: AssemblyParts): (matched: Matched) => Leases | undefined {
  const leases = cache.leases && new Leases({ leases: cache.leases, clock })
  return ({ route }) => {
    const mode = route.cache?.leases ?? 'never'
    return leases && leasesPay(mode, backends.serviceMs(route.pool, 0.5)) ? leases : undefined
  }
}

function pipelineParts(parts: AssemblyParts, base: Foundations) {
  const { clock, backends } = parts
  const { versions, outgoing } = base
  const refusalOf: RefusalOf = (context) => refusalKey(context.call, rawOf(context), outgoing(context.call))
  const fetch = createFetch({
    ...base,
    // A batch is many callers': each was admitted by itself.
    unlimited: base.mirroring(backends.dispatch),
    busy: backends.busy,
    maxBatch: backends.maxBatch,
    serviceMs: (pool) => backends.serviceMs(pool, 0.9) ?? 0,
    clock,
  })
  return {
    ...parts,
    ...base,
    hitForMiss: new HitForMiss(clock),
    fill: new Fill({ ...parts, ...base, ...versions, fetch, refusalOf }),
    mayGive: versions.mayGive,
    compose: createCompose({ ...parts, ...base }),
    refusalOf,
  }
}

/** Makes the fast paths, which answer before a call is made of a request. */
function hits(parts: AssemblyParts, base: Foundations) {
  const { aliases, versions } = base
  const ready = parts.readyBytes > 0 ? base.ready : undefined
  return {
    memoryHit: new MemoryHits({ ...parts, ...base }),
    fastRefusal: new FastRefusals({ ...parts, ...base }),
    sharedHit: aliases && createSharedHit({ ...parts, ...base, ...versions, aliases, ready }),
  }
}

/** The pools of a gateway, as calls need them. */
export function backendsOf(
  parts: DispatchParts & {
    /** Undefined: the pool was removed. */
    readonly find: (name: string) => BackendPool | undefined
    /** Calls running on a slot, over all workers. */
    readonly inflight: (slot: number) => number
  },
): Backends {
  const { pool, find, inflight } = parts
  return {
    dispatch: createDispatch(parts),
    sendOnce: createSendOnce(parts),
    members: (name) => pool(name).view.backends,
    ask: (name, ...asked) => createAskBackend(pool(name).clients, parts.clock)(...asked),
    hasTransport: (name, transport) => pool(name).hasTransport(transport),
    queueing: (name) => find(name)?.isQueueing ?? false,
    busy: (name) => isBusy(pool(name).view.backends, inflight),
    maxBatch: ({ route, target }) => maxBatchOf(pool(route.pool).view.backends, target.model),
    serviceMs: (name, quantile) => pool(name).serviceMs(quantile),
  }
}
