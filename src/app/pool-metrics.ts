/** Metrics of the pools and their backends, over all workers, and of the routes that lead to them. */
import { poolsOf } from '../config/route-pools.ts'
import type { Settings } from '../config/schema.ts'
import type { Registry } from '../control/registry/registry.ts'
import type { Backend } from '../core/backend.ts'
import type { BackendTraffic, PoolTraffic } from '../data/backend/traffic.ts'
import type { Clock } from '../lib/clock.ts'
import type { FamilyName } from '../obs/families.ts'
import type { Metrics, Sample } from '../obs/metrics.ts'
import type { DataPlanes } from './workers/data-planes.ts'

interface Measured {
  readonly metrics: Pick<Metrics, 'gauge'>
  readonly registry: Pick<Registry, 'views'>
  readonly data: Pick<DataPlanes, 'traffic' | 'inflight'>
  readonly clock: Pick<Clock, 'now'>
}

/** All states of a backend, the registry's and those of balancing: each has a series, so that none is missing at 0. */
const STATES = [
  'ready',
  'slow start',
  'slowed',
  'full',
  'paused',
  'on trial',
  'ejected',
  'suspect',
  'warming',
  'unhealthy',
  'draining',
] as const

/** What is read once serves all metrics of a scrape. */
const RECENT_MS = 100

interface MeasuredBackend extends Pick<Backend, 'id' | 'slot'> {
  readonly state: string
  readonly traffic: BackendTraffic | undefined
}

interface MeasuredPool {
  readonly pool: string
  readonly traffic: PoolTraffic
  readonly backends: readonly MeasuredBackend[]
}

export function measurePools(measured: Measured, settings: () => Settings): void {
  const pools = recentPools(measured)
  measureTraffic(measured.metrics, pools)
  measureBackends(measured, pools)
  measureSettings(measured.metrics, settings)
}

function measureTraffic(metrics: Measured['metrics'], pools: () => readonly MeasuredPool[]): void {
  const gauge = (name: FamilyName<'gauge'>, value: (traffic: PoolTraffic) => number) =>
    metrics.gauge(name, () =>
      pools().map(({ pool, traffic }) => ({ labels: { pool }, value: value(traffic) })),
    )
  gauge('infergate_pool_panic', ({ panic }) => Number(panic))
  gauge('infergate_pool_failing', ({ failing }) => Number(failing))
  gauge('infergate_pool_queue_calls', ({ queued }) => queued)
}

function measureBackends({ metrics, data }: Measured, pools: () => readonly MeasuredPool[]): void {
  metrics.gauge('infergate_pool_backends', () =>
    pools().flatMap(({ pool, backends }) =>
      STATES.map((state) => ({
        labels: { pool, state },
        value: backends.filter((backend) => backend.state === state).length,
      })),
    ),
  )
  const gauge = (name: FamilyName<'gauge'>, value: (backend: MeasuredBackend) => number | undefined) =>
    metrics.gauge(name, () =>
      pools().flatMap(({ pool, backends }) =>
        backends.flatMap((backend): Sample[] => {
          const found = value(backend)
          return found === undefined ? [] : [{ labels: { pool, backend: backend.id }, value: found }]
        }),
      ),
    )
  gauge('infergate_backend_inflight_calls', ({ slot }) => data.inflight(slot))
  gauge('infergate_backend_limit_calls', ({ traffic }) => traffic?.limit)
  gauge('infergate_backend_latency_seconds', ({ traffic }) =>
    traffic?.latencyMs === undefined ? undefined : traffic.latencyMs / 1000,
  )
}

function measureSettings(metrics: Measured['metrics'], settings: () => Settings): void {
  metrics.gauge('infergate_route_info', () =>
    settings().routes.flatMap((route) =>
      poolsOf(route).map((pool) => ({ labels: { route: route.name, pool }, value: 1 })),
    ),
  )
  metrics.gauge('infergate_pool_slo_seconds', () => {
    const { pools, models } = settings()
    const promises = [...Object.entries(pools), ...models.map((model) => [model.name, model] as const)]
    return promises.flatMap(([pool, { slo = {} }]) =>
      Object.entries(slo).map(([objective, ms]) => ({ labels: { pool, objective }, value: ms / 1000 })),
    )
  })
}

/** The pools as they are, read again where that was not done just before. */
function recentPools({ registry, data, clock }: Measured): () => readonly MeasuredPool[] {
  let at = -Infinity
  let pools: readonly MeasuredPool[] = []
  return () => {
    const now = clock.now()
    if (now - at < RECENT_MS) return pools
    at = now
    pools = registry.views().flatMap(({ pool, backends }): MeasuredPool[] => {
      const traffic = data.traffic(pool)
      return traffic ? [{ pool, traffic, backends: latestOf(backends, traffic) }] : []
    })
    return pools
  }
}

/** One for each id: of a backend that was replaced, its predecessor may still drain. */
function latestOf(backends: readonly Backend[], traffic: PoolTraffic): readonly MeasuredBackend[] {
  const bySlot = new Map(traffic.backends.map((each) => [each.slot, each]))
  const latest = new Map<string, Backend>()
  for (const backend of backends) {
    const known = latest.get(backend.id)
    if (!known || known.generation < backend.generation) latest.set(backend.id, backend)
  }
  return [...latest.values()].map(({ id, slot, state }) => {
    const found = bySlot.get(slot)
    return { id, slot, state: found?.effective.state ?? state, traffic: found }
  })
}
