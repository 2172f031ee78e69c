/**
 * The data plane on real sockets with routes of the test's own, whose dialects need not be among the built-in ones: clients
 * in front, backends behind, memory and a shared tier between.
 */
import { BlockList } from 'node:net'
import type { BackendAddresses } from '../../src/core/backend.ts'
import { silentLog } from '../../src/core/log.ts'
import type { Observer } from '../../src/core/observer.ts'
import { assemble, backendsOf } from '../../src/data/assemble.ts'
import { Clients } from '../../src/data/backend/clients.ts'
import { BackendPool } from '../../src/data/backend/pool.ts'
import { createOutlierState } from '../../src/data/balance/outliers/outlier-state.ts'
import { createLoadTable, inflightOf } from '../../src/data/balance/table.ts'
import { createMemory } from '../../src/data/cache/memory/memory.ts'
import { createTiered } from '../../src/data/cache/tiered.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import type { Tier } from '../../src/data/cache/tiers/tier.ts'
import { listen } from '../../src/data/ingress/server.ts'
import { Deployments } from '../../src/data/key/deployment.ts'
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
}

export type RunningPlane = Awaited<ReturnType<typeof startPlane>>

const SLOTS = 16

export async function startPlane({ routes, pools, observer, tier, memory = true }: PlaneOptions) {
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
    ...(memory ? { memory: createMemory({ maxBytes: 1 << 20, clock }) } : {}),
    tiers: tier ? [guardTier(tier, { readTimeout: 2_000, writeTimeout: 2_000, clock, random })] : [],
    clock,
  })
  const shared = tier ? cache : undefined
  const changed = () => plane.changed()
  const epochs = new Epochs({ shared, clock, log, changed })
  const deployments = new Deployments({ shared, clock, log, changed })
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
    facts: { epochs, deployments },
    claims: undefined,
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
    /** Other settings, as a reload brings them. */
    reload(of: readonly Route[]) {
      live = settings(of)
    },
    async explain(path: string, body: string) {
      const { call, matched } = await calledBy({ method: 'POST', path, body }, live)
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
