/** What the threads of further workers are made of. */
import type { Settings } from '../../config/schema.ts'
import type { HostPort } from '../../core/addresses.ts'
import type { MirrorTotals } from '../../core/mirror.ts'
import type { CallBatch } from '../../data/calls/call-outbox.ts'
import type { RelayRequest } from '../../data/generation/relay.ts'
import type { ShownForm } from '../../data/key/forms.ts'
import type { VersionStatement } from '../../data/key/statements.ts'
import type { UsageReport } from '../../data/measure/tenant-usage.ts'
import type { Finding } from '../../data/rows/splitter.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ProcessLog } from '../../obs/log.ts'
import type { Metrics } from '../../obs/metrics.ts'
import type { LoadedParts } from '../parts.ts'
import type { InheritedSockets } from '../ports.ts'
import type { PoolDefaults } from '../settings-mapping.ts'
import type { SharedFacts } from '../shared-facts.ts'
import type { LiveTls } from '../tls.ts'
import type { SharedState } from './shared-state.ts'

export interface ThreadsParts {
  readonly settings: Settings
  /** The number of workers, with the first, which runs in the main thread. */
  readonly workers: number
  readonly poolDefaults: PoolDefaults
  readonly tls: LiveTls
  readonly parts: LoadedParts | undefined
  readonly shared: SharedState
  readonly facts: SharedFacts
  readonly log: ProcessLog
  readonly metrics: Metrics
  readonly clock: Clock
  readonly random: () => number
  readonly ownListeners: () => readonly HostPort[]
  readonly alive: (pool: string, backend: string) => void
  readonly stated: (statement: VersionStatement) => void
  readonly redeployed: (pool: string, model: string) => Promise<void>
  readonly keyMissing: (jwks: string) => Promise<void>
  /** Called with what a worker has found out about splitting a model. */
  readonly split: (finding: Finding) => void
  /** Called with a form that a server has shown to a worker. */
  readonly formShown: (shown: ShownForm) => void
  /** Called with what another worker asks of the first. */
  readonly relay: (request: RelayRequest) => void
  /** Called with what tenants have used since the last time. */
  readonly used: (report: UsageReport) => void
  /** Called with what became of copies of calls since the last time. */
  readonly mirrored: (report: readonly MirrorTotals[]) => void
  readonly inherited: InheritedSockets | undefined
  /** Called with a batch of records for prediction logs. */
  readonly predictions: (batch: Uint8Array<ArrayBuffer>) => void
  /** Called with a batch of lines of the access log. */
  readonly calls: (batch: CallBatch) => void
}
