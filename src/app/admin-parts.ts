/** Connects the admin API to the rest of the gateway: the functions that it calls. */
import type { Settings } from '../config/schema.ts'
import type { AdminParts, RouteTraffic } from '../control/admin/contract.ts'
import type { Registry } from '../control/registry/registry.ts'
import type { Rollouts } from '../control/rollout/rollouts.ts'
import { GatewayError } from '../core/errors.ts'
import { parseDigest } from '../core/key.ts'
import { noMirrorTotals } from '../core/mirror.ts'
import { EVERYTHING, namesOfPurge } from '../data/key/epoch-names.ts'
import type { Clock } from '../lib/clock.ts'
import type { Metrics } from '../obs/metrics.ts'
import { acceptsOpenMetrics } from '../obs/open-metrics.ts'
import type { RecentLines } from '../obs/recent-lines.ts'
import { dashboardFile } from './dashboard-files.ts'
import { knownNames, unknownNamesIn } from './known-names.ts'
import { LiveState } from './live/live-state.ts'
import type { RouteMirrors } from './route-mirrors.ts'
import type { RouteWeights } from './route-weights.ts'
import type { Scaling } from './scaling.ts'
import type { GatewayWarming } from './warming.ts'
import type { DataPlanes } from './workers/data-planes.ts'

interface Around {
  readonly data: DataPlanes
  readonly metrics: Metrics
  readonly ready: AdminParts['ready']
  readonly settings: () => Settings
  readonly scaling: Pick<Scaling, 'cacheLost' | 'describe' | 'describeAll'>
  readonly registry: Registry
  readonly clock: Clock
  /** The newest lines of the log. */
  readonly lines: RecentLines | undefined
  readonly weights: Pick<RouteWeights, 'list' | 'change'>
  readonly mirrors: Pick<RouteMirrors, 'of' | 'check' | 'change'>
  readonly warming: GatewayWarming
  readonly rollouts: Rollouts
}

/** A worker that does not confirm a purge within this time hangs, and the purge is answered with an error. */
const PURGE_MS = 5_000
/** Every other write waits this long at most for the workers to confirm it, and is answered in any case. */
const WRITE_MS = 250

export function adminParts(around: Around): AdminParts {
  const { data, metrics, ready, scaling, weights, mirrors, rollouts, registry, settings } = around
  const tenants = () => Object.keys(settings().tenants ?? {})
  return {
    ready,
    async metrics(accept) {
      const exemplars = acceptsOpenMetrics(accept) ? data.calls.exemplars : undefined
      return metrics.expose(await data.metrics(), exemplars)
    },
    async purge(request) {
      if ('all' in request) {
        scaling.cacheLost('flush')
        return purged(data, [EVERYTHING])
      }
      const { key } = request
      const digest = key === undefined ? undefined : parseDigest(key)
      const isShared = digest === undefined || (await data.facts.purgedKeys.purge(digest))
      const answer = await purged(data, namesOfPurge(request))
      const { models } = await data.stats()
      const unknown = unknownNamesIn(request, knownNames(settings(), registry, Object.keys(models)))
      return {
        ...answer,
        shared: answer.shared && isShared,
        ...(unknown.length > 0 ? { unknown } : {}),
        ...(key === undefined ? {} : { key, known: digest !== undefined }),
      }
    },
    explain: (request) => data.explain(request),
    stats: () => data.stats(),
    async tenants(name) {
      const totals = await data.tenants()
      const { since, unidentified } = totals
      if (name !== undefined) return totals.one(name, tenants())
      return { since, tenants: totals.list(tenants()), unidentified }
    },
    routes: () => weights.list().map((traffic) => withMirrorOf(traffic, around)),
    mirror(route, patch, how) {
      if (how === 'check') mirrors.check(route, patch)
      else mirrors.change(route, patch)
    },
    warmings: around.warming.warmings,
    weigh(route, given) {
      if (rollouts.isMoving(route)) throw new GatewayError('badRequest', heldBy(route))
      return weights.change(route, given)
    },
    rollouts,
    calls: (query, options) => data.calls.history.list(query, options),
    keepsCalls: () => settings().log.access !== undefined,
    followCalls(follow) {
      data.calls.onCall = follow
    },
    scale: (pool) => scaling.describe(pool),
    settled: () => data.sync(WRITE_MS).catch(() => {}),
    traffic: (pool) => data.traffic(pool),
    live: new LiveState({ ...around, ...around.warming, tenants, scales: () => scaling.describeAll() }),
    page: dashboardFile,
  }
}

/** The route, with the pool that gets copies of its calls and what became of them. */
function withMirrorOf(traffic: RouteTraffic, { mirrors, data }: Around): RouteTraffic {
  const { route } = traffic
  const mirror = mirrors.of(route)
  if (!mirror) return traffic
  const { route: _, pool: __, ...counts } = data.mirrored().one(route, mirror.pool) ?? NOTHING_COPIED
  return { ...traffic, mirror: { ...mirror, counts } }
}

const NOTHING_COPIED = noMirrorTotals('', '')

function heldBy(route: string): string {
  return `a rollout moves the weights of "${route}": pause does not free them; take it back first, by infergate rollout back ${route}`
}

/** What became unreachable, and whether the other gateways have been informed. */
async function purged(data: DataPlanes, names: readonly string[]) {
  const isShared = await data.facts.epochs.purge(names)
  await data.sync(PURGE_MS)
  return { unreachable: names, shared: isShared }
}
