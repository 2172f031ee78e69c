/**
 * What the control thread and a data worker say to each other, by the names of the calls: plain data only. Down go
 * settings, views of the pools and what keys cover; up go reports.
 */
import type { Settings } from '../../config/schema.ts'
import type { HostPort } from '../../core/addresses.ts'
import type { PoolView } from '../../core/backend.ts'
import type { Digest } from '../../core/key.ts'
import type { PoolTraffic } from '../../data/backend/traffic.ts'
import type { DeploymentState } from '../../data/key/deployed.ts'
import type { EpochState } from '../../data/key/epochs.ts'
import type { VersionStatement } from '../../data/key/statements.ts'
import type { Finding } from '../../data/rows/splitter.ts'
import type { ExplainQuery, Explanation } from '../../data/serve/explain.ts'
import type { MetricsSnapshot } from '../../obs/metrics.ts'
import type { PoolDefaults } from '../settings-mapping.ts'
import type { DataStats } from './merge.ts'
import type { SharedState } from './shared-state.ts'
import type { WorkerLoad } from './worker-loads.ts'

/** What a worker begins with; what has changed since the start it is told at once. */
export interface WorkerStart {
  readonly worker: number
  readonly settings: Settings
  readonly poolDefaults: PoolDefaults
  /** URL of the module that has parts of one's own; undefined: there are none. */
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
  listen(at: HostPort): HostPort
  ownListeners(endpoints: readonly HostPort[]): void
  apply(view: PoolView): void
  reload(settings: Settings): void
  epoch(change: { readonly name: string; readonly epoch: EpochState | undefined }): void
  deployment(change: {
    readonly pool: string
    readonly model: string
    readonly state: DeploymentState | undefined
  }): void
  /** What metadata say of the forms in which a model is asked. */
  declareForm(form: ReportedForm): void
  /** What another worker has found out of a model's rows. */
  split(found: Finding): void
  /** False: a tier could not be told. */
  forget(digest: Digest): boolean
  /** Answered once everything told before has been done. */
  sync(nothing: undefined): void
  explain(query: ExplainQuery): Explanation
  stats(nothing: undefined): DataStats
  metrics(nothing: undefined): MetricsSnapshot
  /** Takes calls as before, and ends connections with their answers. */
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
  /** Answered when what was kept of the model is out of reach. */
  redeployed(of: { readonly pool: string; readonly model: string }): void
  split(found: Finding): void
  /** Ten times a second. */
  loads(loads: readonly WorkerLoad[]): void
  /** Twice a second. */
  report(report: WorkerReport): void
  /** Every two seconds: when a worker ends at once, no more than that is lost of what it has counted. */
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
