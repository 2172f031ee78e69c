/**
 * The data plane on real sockets with routes of the test's own, whose dialects need not be among the built-in ones: clients
 * in front, backends behind, memory and a shared tier between.
 */
import { BlockList } from 'node:net'
import type { MessagePort } from 'node:worker_threads'
import type { BackendAddresses } from '../../src/core/backend.ts'
import { type Digest, parseDigest } from '../../src/core/key.ts'
import { silentLog } from '../../src/core/log.ts'
import type { Observer } from '../../src/core/observer.ts'
import { assemble, backendsOf } from '../../src/data/assemble.ts'
import { Clients } from '../../src/data/backend/clients.ts'
import { BackendPool } from '../../src/data/backend/pool.ts'
import { createOutlierState } from '../../src/data/balance/outliers/outlier-state.ts'
import { createLoadTable, inflightOf } from '../../src/data/balance/table.ts'
import { allocateMemory, createMemory, type SharedMemory } from '../../src/data/cache/memory/memory.ts'
import { createTiered, type Tiered } from '../../src/data/cache/tiered.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import type { Tier } from '../../src/data/cache/tiers/tier.ts'
import {
  allocateClaims,
  type ClaimBytes,
  ClaimTable,
  forgetClaims,
} from '../../src/data/flight/claim-table.ts'
import { Claims } from '../../src/data/flight/claims.ts'
import type { RequestRelay } from '../../src/data/generation/relayed-generation.ts'
import { listen } from '../../src/data/ingress/server.ts'
import { Deployments } from '../../src/data/key/deployment.ts'
import { EVERYTHING } from '../../src/data/key/epoch-names.ts'
import { Epochs } from '../../src/data/key/epochs.ts'
import { createRouter, type Route } from '../../src/data/route/routes.ts'
import { calledBy } from '../../src/data/serve/explain.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { Wheel } from '../../src/lib/wheel.ts'
import { tenantTables } from './tenant-tables.ts'

export interface PlaneOptions {
  readonly routes: readonly Route[]
  /** The backends of each pool; a URL takes calls over HTTP/1.1. */
  readonly pools: Readonly<Record<string, readonly (string | BackendAddresses)[]>>
  readonly observer: Observer
  readonly tier?: Tier
  /** False: what is kept is in the tier alone. */
  readonly memory?: boolean
  /** What it shares with other planes, as workers of one process do; left out: it is alone. */
  readonly worker?: WorkerPart
}

interface WorkerPart {
  readonly number: number
  readonly claims: ClaimBytes
  readonly memory: SharedMemory
  readonly facts: ReturnType<typeof factsOf>
  readonly requestRelay: RequestRelay
}

export type RunningPlane = Awaited<ReturnType<typeof startPlane>>

const SLOTS = 16

export async function startPlane(options: PlaneOptions) {
  const { routes, pools, observer, tier, memory = true, worker } = options
  const clock = systemClock
  const wheel = new Wheel(clock)
  const table = createLoadTable(SLOTS)
  const state = createOutlierState(SLOTS)
  const log = silentLog
  const random = Math.random
  let slot = 0
  const made = Object.entries(pools).map(([name, addresses]) => {
    const clients = new Clients(
      { connections: 100, connectTimeoutMs: 1_000, bodyTimeoutMs: 10_000, refuse: () => undefined },
      wheel,
    )
    const pool = new BackendPool({ name, table, state, clients, clock, random }, TUNING)
    const backends = addresses.map((at) => {
      const address = typeof at === 'string' ? { url: at } : at
      return { ...BACKEND, ...address, id: `b${slot}`, slot: slot++, readySince: 0 }
    })
    pool.apply({ pool: name, revision: 1, backends })
    return [name, pool] as const
  })
  const found = new Map(made)
  const cache = createTiered({
    ...(memory ? { memory: memoryOf(worker) } : {}),
    tiers: tier ? [guardTier(tier, { readTimeout: 2_000, writeTimeout: 2_000, clock, random })] : [],
    clock,
  })
  const facts = worker?.facts ?? factsOf(tier && cache, () => plane.changed())
  const { epochs, deployments } = facts
  const settings = (of: readonly Route[]) => ({
    route: createRouter(of),
    maxBodyBytes: 64 << 20,
    trusted: new BlockList(),
    scheme: 'http' as const,
  })
  let live = settings(routes)
  const plane = assemble({
    live: () => live,
    cache,
    memory: 'memory',
    readyBytes: memory ? 1 << 20 : 0,
    facts,
    claims:
      worker && new Claims(new ClaimTable(worker.claims, { worker: worker.number, now: clock.now }), clock),
    requestRelay: worker?.requestRelay ?? ((_, { port }) => port.close()),
    ...tenantTables(() => clock.now()),
    workers: 1,
    backends: backendsOf({
      pool: (name) => found.get(name) as BackendPool,
      find: (name) => found.get(name),
      inflight: (of) => inflightOf(table, of),
      stalled: () => 0,
      observer,
      clock,
      random,
    }),
    observer,
    log,
    clock,
    wheel,
    random,
    stated: () => {},
    redeployed: (pool, model) => deployments.redeployed(pool, model),
  })
  const listener = await listen({ ...LISTENER, wheel }, plane.ingress)
  return {
    port: listener.address.port,
    cache,
    epochs,
    deployments,
    pool: (name: string) => found.get(name) as BackendPool,
    changed: plane.changed,
    relay: plane.relay,
    forget: plane.forget,
    /** Running loads. */
    get loads() {
      return plane.loads
    },
    /** Other settings, as a reload brings them. */
    reload(of: readonly Route[]) {
      live = settings(of)
    },
    async explain(path: string, body: string, headers: Readonly<Record<string, string>> = {}) {
      const { call, matched } = await calledBy({ method: 'POST', path, headers, body }, live)
      return plane.explain(call, matched)
    },
    async close() {
      await listener.drain(0)
      await Promise.all(made.map(([, pool]) => pool.clients.close()))
      await cache.close()
      wheel.close()
    },
  }
}

export interface RunningWorkers {
  readonly planes: readonly RunningPlane[]
  /** How many generations were asked of other workers since this was asked last. */
  relays(): number
  /** How many claims there are. */
  claimed(): number
  /** Ends what a worker says to the others, and its claims, as when its thread has ended. */
  cut(worker: number): void
  /** A purge of everything. */
  purge(): Promise<void>
  /** A purge of the key of a call. */
  forget(path: string, body: string): Promise<void>
  deploy(model: string, evidence: string): void
  close(): Promise<void>
}

/** Planes that are workers of one process: they share memory and claims, and pass generations on to each other. */
export async function startWorkers(count: number, options: PlaneOptions): Promise<RunningWorkers> {
  const claims = allocateClaims()
  const memory = allocateMemory(32 << 20, count, 1 << 20)
  const planes: RunningPlane[] = []
  const facts = factsOf(undefined, () => {
    for (const plane of planes) plane.changed()
  })
  const ports: (readonly [worker: number, MessagePort])[] = []
  let relays = 0
  const requestRelay: RequestRelay = (worker, request) => {
    relays++
    ports.push([worker, request.port])
    planes[worker]?.relay(request)
  }
  for (let number = 0; number < count; number++)
    planes.push(await startPlane({ ...options, worker: { number, claims, memory, facts, requestRelay } }))
  return {
    planes,
    relays() {
      const asked = relays
      relays = 0
      return asked
    },
    claimed: () => claims.owner.filter((owner) => owner !== 0).length,
    cut(worker) {
      forgetClaims(claims, worker)
      for (const [leader, port] of ports) if (leader === worker) port.close()
    },
    purge: async () => void (await facts.epochs.purge([EVERYTHING])),
    async forget(path, body) {
      const { key = '' } =
        (await planes[0]?.explain(path, body, { 'content-type': 'application/json' })) ?? {}
      await Promise.all(planes.map((plane) => plane.forget(parseDigest(key) as Digest)))
    },
    deploy: (model, evidence) =>
      void facts.deployments.learn({ pool: 'main', model, evidence, versions: [evidence] }),
    close: async () => void (await Promise.all(planes.map((plane) => plane.close()))),
  }
}

function factsOf(shared: Tiered | undefined, changed: () => void) {
  const parts = { shared, clock: systemClock, log: silentLog, changed }
  return { epochs: new Epochs(parts), deployments: new Deployments(parts) }
}

function memoryOf(worker: WorkerPart | undefined) {
  const clock = systemClock
  return worker
    ? createMemory({ shared: worker.memory, worker: worker.number, clock })
    : createMemory({ maxBytes: 1 << 20, clock })
}

const BACKEND = { generation: 1, models: [], weight: 1, state: 'ready', reason: '' } as const

const TUNING = {
  policy: 'round-robin',
  retry: { max: 2, budget: {} },
  outlier: {},
  limit: { mode: 'declared' },
  queue: {},
  hedge: undefined,
  isFromZero: false,
} as const

const LISTENER = {
  host: '127.0.0.1',
  port: 0,
  maxHeaderBytes: 16_384,
  headerTimeoutMs: 10_000,
  bodyTimeoutMs: 10_000,
  keepAliveTimeoutMs: 10_000,
  maxConnections: 1_000,
  fastDoor: true,
}
