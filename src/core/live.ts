/**
 * What followers of `GET /api/v1/events` are told, as plain data: made by the gateway, shown by the dashboard. An event
 * replaces the one of the same kind and name that came before it; `gone` says that nothing takes its place.
 */
import type { RowCounts } from './row-counts.ts'

export interface LiveEvent {
  readonly event: string
  /** What of this kind it is about; left out: there is one of the kind. */
  readonly name?: string
  readonly data: unknown
  /** Who may see it besides `read`. */
  readonly scope?: 'tenants'
}

/** `caller`: who follows, and what their credentials allow; the first event of a stream. */
export interface CallerView {
  readonly name: string
  readonly scopes: readonly string[]
}

/** `gateway`: the process as a whole. */
export interface GatewayView {
  readonly version: string
  /** When it started, as `2026-09-12T10:15:02.000Z`. */
  readonly since: string
  /** Data workers that there should be, and those that take calls. */
  readonly workers: number
  readonly listening: number
  /** As `/readyz` says. */
  readonly ready: boolean
  readonly reasons: readonly string[]
}

/** `traffic`: the calls of a pool as a whole. */
export interface TrafficView {
  readonly pool: string
  readonly queued: number
  readonly retriesLeft: number
  readonly panic: boolean
  readonly failing: boolean
}

/** `backend-traffic`: the calls at one backend; the pool's `pool` event has the rest about it. */
export interface BackendTrafficView {
  readonly pool: string
  readonly slot: number
  readonly inflight: number
  readonly effective: { readonly state: string; readonly reason: string }
  readonly share: number
  readonly latencyMs?: number
  readonly limit?: number
  readonly peers?: number
}

/** Milliseconds that half of the calls stay under, and so on; undefined: there were none. */
export interface Quantiles {
  readonly p50?: number
  readonly p95?: number
  readonly p99?: number
}

/** Calls a second, over the time since the last `stats`. */
export interface CallRates {
  readonly perSecond: number
  /** By what the cache did: hit, miss, collapsed, partial, bypass, request, stale, none. */
  readonly cache: Readonly<Record<string, number>>
  /** Share of those with an outcome that needed no backend; undefined: there were none. */
  readonly hitRatio?: number
  /** Answered with 4xx and 5xx. */
  readonly refusedPerSecond: number
  readonly errorsPerSecond: number
  /** Of the last five seconds. */
  readonly latencyMs: Quantiles
}

export interface RouteRates extends CallRates {
  readonly route: string
}

/** Attempts at a backend, a second. */
export interface AttemptRates {
  readonly pool: string
  readonly backend: string
  readonly perSecond: number
  readonly failedPerSecond: number
}

/** `stats`: what happened since the one before, about a second ago. */
export interface StatsView {
  /** Wall time in milliseconds, and the seconds since the one before. */
  readonly at: number
  readonly seconds: number
  readonly calls: CallRates
  /** Rows a second of calls that were answered row by row. */
  readonly rows: RowCounts
  /** Calls that wait for a backend, over all pools, and loads under way. */
  readonly queued: number
  readonly flights: number
  /** Those with calls, the busiest first: at most a hundred. */
  readonly routes: readonly RouteRates[]
  /** Those with attempts. */
  readonly attempts: readonly AttemptRates[]
}

/** `fault`: calls that the gateway answered with an error of its own, since the start. */
export interface FaultView {
  readonly route: string
  readonly fault: string
  readonly count: number
}

/** `model`: its calls since the start. */
export interface ModelView {
  readonly model: string
  readonly calls: Readonly<Record<string, number>>
  readonly rows: RowCounts
}

/** `deployment`: what is deployed of a model, as keys cover it. */
export interface DeploymentView {
  readonly pool: string
  /** `NAME/labels/LABEL` where it is that of a label; empty: of calls that name no model. */
  readonly model: string
  /** Left out: not every backend reports its own. */
  readonly versions?: readonly string[]
  readonly token: string
  /** Other gateways know it as well. */
  readonly shared: boolean
}

/** `rollout`: calls of a route that are moved from one pool to another. */
export interface RolloutView {
  readonly route: string
  readonly from: string
  readonly to: string
  /** `measuring`, `warming`, `comparing`, `moving`, `done` or `back`. */
  readonly phase: string
  readonly isOver: boolean
  readonly isPaused: boolean
  /** Of the calls of both pools, what the new one has. */
  readonly sharePercent: number
  /** Where it is going. */
  readonly nextPercent?: number
  readonly steps: readonly number[]
  /** Calls of the new pool in this step, and how many it needs. */
  readonly sampled: number
  readonly sample: number
  /** Answers of both pools that were compared in this step, and those that differ. */
  readonly compared: number
  readonly differed: number
  /** Hits as a part of what they were. */
  readonly hits?: number
  readonly failures: {
    readonly old: { readonly calls: number; readonly bad: number }
    readonly new: { readonly calls: number; readonly bad: number }
  }
  /** Why it went back: errors, latency, differences, samples, backends, settings or operator. */
  readonly reason?: string
  readonly startedAt: string
  readonly sentence: string
  readonly history: readonly { readonly at: string; readonly sentence: string }[]
}
