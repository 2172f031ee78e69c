/** The parts of a running gateway, in the control plane and below it. */
import type { Settings } from '../config/schema.ts'
import type { AdminServer } from '../control/admin/server.ts'
import type { Versions } from '../control/deployments/versions.ts'
import type { Health } from '../control/health/health.ts'
import type { LoadWatch } from '../control/load/load-watch.ts'
import { Registry, type RegistryOptions } from '../control/registry/registry.ts'
import type { Shared } from '../control/registry/shared.ts'
import type { Rollouts } from '../control/rollout/rollouts.ts'
import type { SharedScaleGroup } from '../control/scale/scale-group.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../obs/metrics.ts'
import type { GatewayCredentials } from './credentials.ts'
import type { Discovery } from './discovery.ts'
import type { Ejections } from './ejections.ts'
import type { EmbeddedModels } from './embedded-models.ts'
import type { Problems } from './gateway-metrics.ts'
import type { RouteMirrors } from './route-mirrors.ts'
import type { RouteWeights } from './route-weights.ts'
import type { Scaling } from './scaling.ts'
import type { SharedLimits } from './shared-limits.ts'
import type { GatewayWarming } from './warming.ts'
import type { DataPlanes } from './workers/data-planes.ts'

export interface GatewayParts {
  readonly data: DataPlanes
  readonly registry: Registry
  readonly health: Health
  readonly loads: LoadWatch
  readonly versions: Versions
  readonly discovery: Discovery
  readonly credentials: GatewayCredentials
  readonly admin: AdminServer
  readonly models: EmbeddedModels
  readonly shared: Shared | undefined
  readonly sharedLimits: SharedLimits
  readonly scaling: Scaling
  readonly weights: RouteWeights
  readonly mirrors: RouteMirrors
  readonly warming: GatewayWarming
  readonly rollouts: Rollouts
  readonly scaleGroup: SharedScaleGroup | undefined
  readonly ejections: Ejections
}

/** What the admin API is about. */
export type AdminSources = Pick<
  GatewayParts,
  'registry' | 'data' | 'scaling' | 'weights' | 'mirrors' | 'warming' | 'rollouts'
>

interface RegistryParts extends Pick<RegistryOptions, 'clock' | 'log' | 'random'> {
  readonly data: Pick<DataPlanes, 'inflight'>
  readonly metrics: Pick<Metrics, 'count'>
}

export function createRegistry({ data, metrics, ...parts }: RegistryParts): Registry {
  return new Registry({
    ...parts,
    inflight: (slot) => data.inflight(slot),
    changed: (pool, change) => metrics.count('infergate_pool_changes_total', { pool, change }),
  })
}

/** To be called about every 100 ms. */
export function tick({ scaling, ejections }: GatewayParts): void {
  scaling.tick()
  ejections.tick()
}

interface Closing {
  readonly log: Log
  /** How long running calls may take. */
  readonly drainMs: number
  /** Called when no call runs any more. */
  readonly drained: () => void
}

/** Closes the parts in order: no new calls, running calls finish, models, admin, tiers. Never rejects. */
export async function closeParts(parts: GatewayParts, { log, drainMs, drained }: Closing): Promise<void> {
  const closing = async (what: string, work: () => Promise<unknown>) => {
    await work().catch((error: unknown) => log.warn('gateway.stop', { what, error: String(error) }))
  }
  parts.warming.versions.close()
  parts.warming.warmings.close()
  await closing('listener', () => parts.data.drain(drainMs))
  parts.health.stop()
  drained()
  stopListening(parts)
  await closing('limits', () => parts.sharedLimits.close())
  await closing('models', () => parts.models.stop())
  await closing('admin', () => parts.admin.close())
  parts.registry.close()
  await closing('data', () => parts.data.close())
}

/** Stops what is told by others: deployments, gateways beside this one, sources of backends and of credentials, loads. */
function stopListening(parts: GatewayParts): void {
  parts.loads.stop()
  parts.versions.stop()
  parts.shared?.stop()
  parts.discovery.stop()
  parts.credentials.stop()
  parts.rollouts.close()
  parts.scaling.close()
  parts.scaleGroup?.close()
}

/** The settings of a reload, with what was changed of the routes' traffic and still holds. */
export function withTraffic({ weights, mirrors }: GatewayParts, settings: Settings): Settings {
  mirrors.follow(settings)
  return mirrors.onto(weights.follow(settings))
}

/** What cannot be reached or refuses the gateway, for people, by part. */
export function problemsOf({ data, models, credentials, sharedLimits }: GatewayParts): Problems {
  return {
    tiers: data.tierProblems(),
    predictionLog: data.logProblems(),
    snapshot: data.snapshots?.problems ?? [],
    models: models.problems(),
    credentials: credentials.problems,
    limits: sharedLimits.problems,
  }
}

/** Embedded models that have never been ready, for people. `started`: those that have. One that may scale to zero is started by its first call. */
export function unservedModels({ models }: Settings, started: ReadonlySet<string>): readonly string[] {
  const expected = models.filter(({ name, replicas }) => replicas.min > 0 && !started.has(name))
  return expected.map(({ name }) => `model ${name}: no process serves it yet`)
}
