/**
 * The data plane as the control plane sees it, whether it runs in this thread or in several of its own. Everything
 * that passes is plain data.
 */
import type { Settings } from '../config/schema.ts'
import type { Endpoint } from '../core/addresses.ts'
import type { PoolView } from '../core/backend.ts'
import type { PoolTraffic } from '../data/backend/traffic.ts'
import type { TieredStats } from '../data/cache/tiered.ts'
import type { Asked, Explanation } from '../data/explain.ts'
import type { ModelCounts } from '../data/model-stats.ts'
import type { MetricsSnapshot } from '../obs/metrics.ts'
import type { PoolLoad } from './demand.ts'
import type { SharedFacts } from './shared-facts.ts'

export interface DataStats extends TieredStats {
  readonly flights: number
  readonly models: Readonly<Record<string, ModelCounts>>
}

export interface DataSide {
  /** What keys cover, for the whole process. */
  readonly facts: SharedFacts
  /** Begins with what need not listen: polls, ramps, queues. */
  start(): void
  /** Resolves when every worker listens. Rejects with the listener's error. */
  listen(): Promise<Endpoint>
  apply(view: PoolView): void
  reload(settings: Settings): void
  /** Calls running on a slot, over all workers. */
  inflight(slot: number): number
  /** How many calls the other gateways have running on a slot. */
  peers(slot: number, calls: number): void
  /** What is asked of a pool's backends, for the scaler; undefined: no such pool. */
  load(pool: string): PoolLoad | undefined
  /** How the calls of a pool are faring; undefined: no such pool. */
  traffic(pool: string): PoolTraffic | undefined
  explain(asked: Asked): Promise<Explanation>
  stats(): Promise<DataStats>
  /** What other threads have counted. */
  metrics(): Promise<readonly MetricsSnapshot[]>
  /** Whether a shared tier is not asked at present. */
  isTierDown(): boolean
  /** Resolves when every worker has heard what it was told up to now; rejects where one does not say so in time. */
  heard(withinMs: number): Promise<void>
  /** Workers that listen; 0: no call is taken. */
  readonly listening: number
  /** Refuses new connections and lets running calls finish for at most so long. */
  drain(timeoutMs: number): Promise<void>
  close(): Promise<void>
}
