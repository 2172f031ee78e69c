/** What the data plane of all threads is made of. */
import type { Settings } from '../../config/schema.ts'
import type { HostPort } from '../../core/addresses.ts'
import type { VersionStatement } from '../../data/key/statements.ts'
import type { Clock } from '../../lib/clock.ts'
import type { EventLoopLag } from '../../lib/event-loop-lag.ts'
import type { ProcessLog } from '../../obs/log.ts'
import type { Metrics } from '../../obs/metrics.ts'
import type { Cache } from '../cache.ts'
import type { LoadedParts, Parts } from '../parts.ts'
import type { InheritedSockets } from '../ports.ts'
import type { PoolDefaults } from '../settings-mapping.ts'
import type { Snapshots } from '../snapshot/snapshots.ts'
import type { LiveTls } from '../tls.ts'
import type { SharedState, WorkerShare } from './shared-state.ts'

export interface DataPlanesParts {
  readonly settings: Settings
  /** The number of workers, with the one in this thread. */
  readonly workers: number
  readonly poolDefaults: PoolDefaults
  /** Undefined: the workers open their own. */
  readonly inherited: InheritedSockets | undefined
  /** The certificates of this thread. */
  readonly tls: LiveTls
  readonly parts: LoadedParts | undefined
  readonly log: ProcessLog
  readonly metrics: Metrics
  readonly clock: Clock
  readonly random: () => number
  /** The gateway's own listeners: a backend at such an address is refused. */
  readonly ownListeners: () => readonly HostPort[]
  /** Called with the first call to a model whose deployment is unknown. */
  readonly unknownModel: (pool: string, model: string) => void
  /** Called when a backend has answered well. */
  readonly alive: (pool: string, backend: string) => void
  /** Called with the version that an answer states. */
  readonly stated: (statement: VersionStatement) => void
  /** As in `DataPlaneParts`. */
  readonly keyMissing: (jwks: string) => Promise<void>
  /** Called when a call has loaded or unloaded a model and the old answers are unreachable. */
  readonly redeployed: (pool: string, model: string) => void
  /** Called where another deployment has made the answers of a model unreachable. */
  readonly deployed: (pool: string, model: string) => void
}

/** The same, with what was opened for it. */
export interface OpenedDataPlanes extends DataPlanesParts {
  readonly customParts: Parts
  readonly shared: SharedState
  readonly share: WorkerShare
  readonly cache: Cache
  readonly eventLoopLag: EventLoopLag
  /** Undefined: memory does not survive a restart. */
  readonly snapshots: Snapshots | undefined
}
