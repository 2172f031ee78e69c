/** What asks the backends: whether they are well, and how busy they are. */
import { Health, type HealthSettings } from '../control/health/health.ts'
import type { LoadWatch } from '../control/load/load-watch.ts'
import type { BackendCredential } from '../core/backend-credential.ts'
import type { GatewayParts } from './gateway-parts.ts'
import { createLoadWatch, type ReportedLoadsParts } from './reported-loads.ts'
import { healthSettings } from './settings-mapping.ts'
import type { LiveTls } from './tls.ts'

export interface ProbingParts extends Omit<ReportedLoadsParts, 'access'> {
  readonly tls: LiveTls
  /** The credential for a pool's backends. */
  readonly credential: (pool: string) => BackendCredential | undefined
}

export interface Probing {
  readonly health: Health
  readonly loads: LoadWatch
  /** How the backends of a pool are probed; undefined: they are not. */
  readonly probed: (pool: string) => HealthSettings | undefined
}

export function createProbing({ tls, credential, ...parts }: ProbingParts): Probing {
  const access = (pool: string) => ({ tls, credential: credential(pool) })
  const probed = (pool: string) => healthSettings(parts.settings(), pool, access(pool))
  return {
    health: new Health({ ...parts, settings: probed }),
    loads: createLoadWatch({ ...parts, access }),
    probed,
  }
}

/** Starts to ask the backends whether they are well, how busy they are, and what they serve. */
export function startProbing({
  health,
  loads,
  versions,
}: Pick<GatewayParts, 'health' | 'loads' | 'versions'>): void {
  health.start()
  loads.start()
  versions.start()
}
