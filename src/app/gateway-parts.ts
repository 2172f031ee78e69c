/** The parts of a running gateway, in the control plane and below it. */
import type { AdminServer } from '../control/admin/server.ts'
import type { Versions } from '../control/deployments/versions.ts'
import type { Health } from '../control/health/health.ts'
import type { Registry } from '../control/registry/registry.ts'
import type { Shared } from '../control/registry/shared.ts'
import type { SharedScaleGroup } from '../control/scale/scale-group.ts'
import type { GatewayCredentials } from './credentials.ts'
import type { Discovery } from './discovery.ts'
import type { EmbeddedModels } from './embedded-models.ts'
import type { Scaling } from './scaling.ts'
import type { DataPlanes } from './workers/data-planes.ts'

export interface GatewayParts {
  readonly data: DataPlanes
  readonly registry: Registry
  readonly health: Health
  readonly versions: Versions
  readonly discovery: Discovery
  readonly credentials: GatewayCredentials
  readonly admin: AdminServer
  readonly models: EmbeddedModels
  readonly shared: Shared | undefined
  readonly scaling: Scaling
  readonly scaleGroup: SharedScaleGroup | undefined
}

/** Stops what is told by others: deployments, gateways beside this one, sources of backends and of credentials, loads. */
export function stopListening(parts: GatewayParts): void {
  parts.versions.stop()
  parts.shared?.stop()
  parts.discovery.stop()
  parts.credentials.stop()
  parts.scaling.close()
  parts.scaleGroup?.close()
}

/** For people: what is unreachable, or refuses the gateway. */
export function troubles({ data, models, credentials }: GatewayParts): readonly string[] {
  return [...data.tierProblems(), ...data.logProblems(), ...models.problems(), ...credentials.problems]
}
