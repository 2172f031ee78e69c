/** Connects warming to the gateway: the data plane that asks, the pools that it goes by, and the deployments that it follows. */
import type { Settings } from '../config/schema.ts'
import type { PoolPressure } from '../control/warm/pace.ts'
import { type SampledRoute, VersionWarming } from '../control/warm/version-warming.ts'
import { Warmer } from '../control/warm/warmer.ts'
import { Warmings } from '../control/warm/warmings.ts'
import type { Log } from '../core/log.ts'
import type { Clock } from '../lib/clock.ts'
import type { Metrics } from '../obs/metrics.ts'
import { measureSamples } from './sample-metrics.ts'
import type { DataPlanes } from './workers/data-planes.ts'

export interface GatewayWarmingParts {
  readonly data: DataPlanes
  readonly settings: () => Settings
  readonly metrics: Pick<Metrics, 'count' | 'gauge'>
  /** What this gateway is among those that share their backends; undefined: they share none. */
  readonly role: () => 'leader' | 'follower' | 'alone' | undefined
  readonly clock: Clock
  readonly log: Log
}

export interface GatewayWarming {
  readonly warmer: Warmer
  readonly versions: VersionWarming
  readonly warmings: Warmings
}

export function createGatewayWarming(parts: GatewayWarmingParts): GatewayWarming {
  const { data, settings, metrics, role, clock, log } = parts
  const warmer = new Warmer({
    ...data.warming,
    poolsOf: (route) => splitPoolsOf(settings(), route),
    pressure: (pool) => pressureOf(data, pool),
    counted: (route, pool, outcome) => metrics.count('infergate_warm_calls_total', { route, pool, outcome }),
    clock,
  })
  measureSamples(metrics, () => data.warming.sizes())
  const hasSharedTier = () => settings().cache.tiers.some(({ type }) => type !== 'memory')
  const versions = new VersionWarming({
    warmer,
    routes: () => sampledRoutes(settings()),
    isLedByOther: () => hasSharedTier() && role() === 'follower',
    clock,
    log,
  })
  const warmings = new Warmings({
    warmer,
    poolsOf: (route) => splitPoolsOf(settings(), route),
    isSampled: (route) => settings().routes.some(({ name, warm }) => name === route && warm !== undefined),
    clock,
  })
  return { warmer, versions, warmings }
}

/** The pools that a route leads to by itself: not its fallbacks. Undefined: there is no such route. */
function splitPoolsOf(settings: Settings, name: string): readonly string[] | undefined {
  const route = settings.routes.find((each) => each.name === name)
  if (route) return route.split?.map(({ pool }) => pool) ?? [route.pool ?? '']
  return settings.models.some((model) => model.name === name) ? [name] : undefined
}

function sampledRoutes(settings: Settings): readonly SampledRoute[] {
  return settings.routes.flatMap(({ name, warm }) =>
    warm
      ? [
          {
            route: name,
            pools: splitPoolsOf(settings, name) ?? [],
            rate: (warm.rate.count * 1_000) / warm.rate.perMs,
          },
        ]
      : [],
  )
}

/** States in which a backend takes no further call. */
const CLOSED = new Set(['ejected', 'paused'])

function pressureOf(data: DataPlanes, pool: string): PoolPressure {
  const traffic = data.traffic(pool)
  const backends = data.warming.backends(pool)
  const slots = new Map(traffic?.backends.map((backend) => [backend.slot, backend]))
  const ready = backends.filter(
    ({ state, slot }) => state === 'ready' && !CLOSED.has(slots.get(slot)?.effective.state ?? ''),
  )
  const limits = ready.map(({ slot }) => slots.get(slot)?.limit)
  const latencies = ready.flatMap(({ slot }) => slots.get(slot)?.latencyMs ?? [])
  return {
    ready: ready.length,
    queued: traffic?.queued ?? 0,
    inflight: sum(ready.map(({ slot }) => data.inflight(slot) + (slots.get(slot)?.peers ?? 0))),
    limit: limits.every((limit) => limit !== undefined) ? sum(limits) : undefined,
    latencyMs: latencies.length > 0 ? sum(latencies) / latencies.length : undefined,
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0)
}
