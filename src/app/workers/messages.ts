/**
 * The remote procedures between the control thread and a data worker, by name: plain data only. Settings, views of the
 * pools and what keys cover go down; reports go up.
 */
import type { Settings } from '../../config/schema.ts'
import type { TlsMaterial } from '../../control/certificates/certificates.ts'
import type { BackendCredentials } from '../../control/credentials/backend-credentials.ts'
import type { HostPort, Listening } from '../../core/addresses.ts'
import type { PoolView } from '../../core/backend.ts'
import type { Digest } from '../../core/key.ts'
import type { MirrorTotals } from '../../core/mirror.ts'
import type { SampledCall, WarmRequest } from '../../core/warm.ts'
import type { Credentials } from '../../data/auth/authenticator.ts'
import type { PoolTraffic } from '../../data/backend/traffic.ts'
import type { CallBatch } from '../../data/calls/call-outbox.ts'
import type { RelayRequest } from '../../data/generation/relay.ts'
import type { DeploymentState } from '../../data/key/deployed.ts'
import type { EpochState } from '../../data/key/epochs.ts'
import type { ShownForm } from '../../data/key/forms.ts'
import type { VersionStatement } from '../../data/key/statements.ts'
import type { UsageReport } from '../../data/measure/tenant-usage.ts'
import type { Finding } from '../../data/rows/splitter.ts'
import type { ExplainQuery, Explanation } from '../../data/serve/explain.ts'
import type { CallTotals } from '../../obs/call-counts.ts'
import type { MetricsSnapshot } from '../../obs/metrics.ts'
import type { PoolDefaults } from '../settings-mapping.ts'
import type { TrafficChange } from '../traffic-change.ts'
import type { DataStats } from './merge.ts'
import type { SharedState } from './shared-state.ts'
import type { WorkerLoad } from './worker-loads.ts'

/** The data that a worker starts with. Changes since the start of the process follow in messages at once. */
export interface WorkerStart {
  readonly worker: number
  readonly settings: Settings
  readonly poolDefaults: PoolDefaults
  readonly tls: TlsMaterial
  /** URL of the module with custom parts; undefined: there are none. */
  readonly parts: string | undefined
  readonly shared: SharedState
}

export interface ReportedForm {
  readonly pool: string
  readonly model: string
  /** `Plan.form`, of a call that could be made. */
  readonly form: number
}

export interface ToWorker {
  listen(at: Listening): HostPort
  ownListeners(endpoints: readonly HostPort[]): void
  apply(view: PoolView): void
  reload(settings: Settings): void
  /** The weights of a route have changed, or where copies of its calls go. */
  weigh(change: TrafficChange): void
  /** Certificates have changed. */
  secure(tls: TlsMaterial): void
  /** The credentials that do not stand in the settings. */
  credentials(credentials: Credentials): void
  /** Credentials towards backends have changed. */
  authorize(credentials: BackendCredentials): void
  epoch(change: { readonly name: string; readonly epoch: EpochState | undefined }): void
  deployment(change: {
    readonly pool: string
    readonly model: string
    readonly state: DeploymentState | undefined
  }): void
  /** Which request forms the metadata of a model declare. */
  declareForm(form: ReportedForm): void
  /** Which request form a server has shown to another worker. */
  formShown(shown: ShownForm): void
  /** What another worker has found out about splitting a model. */
  split(found: Finding): void
  /** The calls of a route's sample that are worth most. */
  sampled(asked: { readonly route: string; readonly most: number }): readonly SampledCall[]
  /** These of them; undefined: it is forgotten. */
  sampledRequests(asked: {
    readonly route: string
    readonly ids: readonly Digest[]
  }): readonly (WarmRequest | undefined)[]
  /** False where a tier could not be reached. */
  forget(digest: Digest): boolean
  /** Another worker asks for a generation. */
  relay(request: RelayRequest): void
  /** A barrier: answered once all earlier messages were handled. */
  sync(nothing: undefined): void
  explain(query: ExplainQuery): Explanation
  stats(nothing: undefined): DataStats
  metrics(nothing: undefined): MetricsSnapshot
  /** Calls and attempts since the start of the worker. */
  callTotals(nothing: undefined): CallTotals
  /** Answered after what the tenants have used was sent in `used`. */
  tellUsage(nothing: undefined): void
  /** Still takes calls, but closes each connection with its answer. */
  leave(nothing: undefined): void
  drain(timeoutMs: number): void
  close(nothing: undefined): void
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface ToControl {
  log(line: {
    readonly level: LogLevel
    readonly event: string
    readonly fields: Record<string, unknown> | undefined
  }): void
  epochs(names: readonly string[]): readonly EpochState[]
  deployment(of: {
    readonly pool: string
    readonly model: string
    readonly withinMs: number | undefined
  }): DeploymentState
  /** A backend has answered well; at most once a second for each. */
  alive(of: { readonly pool: string; readonly backend: string }): void
  stated(statement: VersionStatement): void
  /** Answered when the key set at this place was read again, and its keys were sent. */
  keyMissing(jwks: string): void
  /** Answered when the old answers of the model are unreachable. */
  redeployed(of: { readonly pool: string; readonly model: string }): void
  split(found: Finding): void
  formShown(shown: ShownForm): void
  /** Passed on to the worker with this number. */
  relay(asked: { readonly worker: number; readonly request: RelayRequest }): void
  /** Records for prediction logs. */
  predictions(batch: Uint8Array<ArrayBuffer>): void
  /** Lines of the access log. */
  calls(batch: CallBatch): void
  /** Ten times a second. */
  loads(loads: readonly WorkerLoad[]): void
  /** Twice a second. */
  report(report: WorkerReport): void
  /** What tenants have used since the last time; twice a second. */
  used(report: UsageReport): void
  /** What became of copies of calls since the last time; with `used`. */
  mirrored(report: readonly MirrorTotals[]): void
  /** Every two seconds: a worker that crashes loses no more of its counts. */
  counted(snapshot: MetricsSnapshot): void
}

export interface WorkerReport {
  readonly traffic: ReadonlyMap<string, PoolTraffic>
  readonly stats: DataStats
  /** The models that calls have named, by pool. */
  readonly calledModels: ReadonlyMap<string, readonly string[]>
  /** The epochs that calls have used. */
  readonly usedEpochs: readonly string[]
}
