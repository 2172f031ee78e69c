/** The parts of a running gateway, in the control plane and below it. */
import type { Settings } from '../config/schema.ts'
import type { AdminServer } from '../control/admin/server.ts'
import type { Versions } from '../control/deployments/versions.ts'
import type { Health } from '../control/health/health.ts'
import type { LoadWatch } from '../control/load/load-watch.ts'
import type { Registry } from '../control/registry/registry.ts'
import type { Shared } from '../control/registry/shared.ts'
import type { SharedScaleGroup } from '../control/scale/scale-group.ts'
import type { GatewayCredentials } from './credentials.ts'
import type { Discovery } from './discovery.ts'
import type { Ejections } from './ejections.ts'
import type { EmbeddedModels } from './embedded-models.ts'
import type { RouteWeights } from './route-weights.ts'
import type { Scaling } from './scaling.ts'
import type { SharedLimits } from './shared-limits.ts'
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
  readonly scaleGroup: SharedScaleGroup | undefined
  readonly ejections: Ejections
}

/** To be called about every 100 ms. */
export function tick({ scaling, ejections }: GatewayParts): void {
  scaling.tick()
  ejections.tick()
}

/** Stops what is told by others: deployments, gateways beside this one, sources of backends and of credentials, loads. */
export function stopListening(parts: GatewayParts): void {
  parts.loads.stop()
  parts.versions.stop()
  parts.shared?.stop()
  parts.discovery.stop()
  parts.credentials.stop()
  parts.scaling.close()
  parts.scaleGroup?.close()
}

/** What cannot be reached or refuses the gateway, for people. */
export function problemsOf({ data, models, credentials, sharedLimits }: GatewayParts): readonly string[] {
  return [
    ...data.tierProblems(),
    ...data.logProblems(),
    ...models.problems(),
    ...credentials.problems,
    ...sharedLimits.problems,
  ]
}

/** Embedded models that have never been ready, for people. `started`: those that have. One that may scale to zero is started by its first call. */
export function unservedModels({ models }: Settings, started: ReadonlySet<string>): readonly string[] {
  const expected = models.filter(({ name, replicas }) => replicas.min > 0 && !started.has(name))
  return expected.map(({ name }) => `model ${name}: no process serves it yet`)
}
