/** Maps the settings to the options of each part, so that no plane knows the configuration. */
import { createHash } from 'node:crypto'
import { poolsNamedBy } from '../config/route-pools.ts'
import type { PoolSettings, Settings } from '../config/schema.ts'
import type { AdminSettings } from '../control/admin/server.ts'
import type { CredentialSource } from '../control/credentials/backend-credentials.ts'
import { DEFAULT_HEALTH, type HealthSettings } from '../control/health/health.ts'
import type { LoadSettings } from '../control/load/load-watch.ts'
import type { EmbeddedModel } from '../control/processes.ts'
import type { PoolDeclaration } from '../control/registry/registration.ts'
import { addressesOf } from '../core/backend.ts'
import type { BackendCredential } from '../core/backend-credential.ts'
import { shareOf, type TenantShare } from '../core/tenant-share.ts'
import type { PoolTuning } from '../data/backend/tuning.ts'
import { own } from '../lib/own.ts'
import type { LiveTls } from './tls.ts'

export function poolDeclarations({ pools, models }: Settings): PoolDeclaration[] {
  const declared = Object.entries(pools).map(([name, pool]) => ({
    name,
    backends: pool.backends,
    probed: pool.health.path !== 'off',
  }))
  return [...declared, ...models.map(({ name }) => ({ name }))]
}

/** The options for starting the processes of embedded models. */
export function embeddedModels({ models }: Settings): EmbeddedModel[] {
  return models.map(({ name, source, kind, embedding = {}, replicas, maxBatch, delay }) => ({
    name,
    source,
    kind,
    options: optionsOf(embedding),
    replicas: replicas.min,
    maxBatch,
    delayMs: delay,
  }))
}

/** As arguments of `infergate model-server`. */
function optionsOf({
  pooling,
  normalize,
  maxTokens,
  truncate,
  dimensions,
}: NonNullable<Settings['models'][number]['embedding']>): string[] {
  return [
    ...(pooling === undefined ? [] : ['--pooling', pooling]),
    ...(normalize === undefined ? [] : [normalize ? '--normalize' : '--no-normalize']),
    ...(maxTokens === undefined ? [] : ['--max-tokens', `${maxTokens}`]),
    ...(truncate === undefined ? [] : [truncate ? '--truncate' : '--no-truncate']),
    ...(dimensions === undefined ? [] : ['--dimensions', dimensions.join()]),
  ]
}

/** Where the credentials towards backends stand, by pool. */
export function credentialSources({ pools }: Settings): Map<string, CredentialSource> {
  const sources = Object.entries(pools).flatMap(([name, { credentials, backends }]) =>
    credentials ? [[name, { ...credentials, urls: backends.flatMap(addressesOf) }] as const] : [],
  )
  return new Map(sources)
}

export interface PoolAccess {
  readonly tls: Pick<LiveTls, 'pool'>
  /** The credential for the pool's backends. */
  readonly credential: BackendCredential | undefined
}

/** Undefined: the pool is not probed. */
export function healthSettings(
  { pools, routes }: Settings,
  name: string,
  { tls, credential }: PoolAccess,
): HealthSettings | undefined {
  const pool = own(pools, name)
  if (!pool) return DEFAULT_HEALTH
  const { path, interval, timeout, unhealthyAfter, healthyAfter } = pool.health
  if (path === 'off') return undefined
  return {
    path,
    intervalMs: interval,
    timeoutMs: timeout,
    unhealthyAfter,
    healthyAfter,
    tls: tls.pool(name),
    credential,
    ...(pool.host === 'keep' ? { host: hostOf(routes, name) } : {}),
  }
}

/** How the metrics pages of a pool's backends are fetched; undefined: they are not. */
export function loadSettings(
  settings: Settings,
  name: string,
  { tls, credential }: PoolAccess,
): LoadSettings | undefined {
  const pool = settings.pools[name]
  if (pool?.load?.from !== 'metrics') return undefined
  const { path, port, interval, timeout } = pool.load
  const host = pool.host === 'keep' ? hostOf(settings.routes, name) : undefined
  return { path, port, intervalMs: interval, timeoutMs: timeout, tls: tls.pool(name), credential, host }
}

/**
 * The Host that callers of a pool use, where a route names one: probes send it, because backends behind an ingress are
 * found by it.
 */
function hostOf(routes: Settings['routes'], pool: string): string | undefined {
  const hosts = routes.flatMap((route) =>
    poolsNamedBy(route).includes(pool) ? (route.match.host ?? []) : [],
  )
  return hosts.find((host) => !host.includes('*'))
}

/** Whether callers of the admin API must prove who they are. */
export function isGuarded({ tokens, auth }: Settings['admin']): boolean {
  return tokens.length > 0 || auth !== undefined
}

/** @param own the token by which the gateway's own model processes register, where tokens are required at all */
export function adminSettings({ admin }: Settings, own: string, tls: LiveTls): AdminSettings {
  const ours = { hash: `sha256:${createHash('sha256').update(own).digest('hex')}`, scopes: ['register:*'] }
  return {
    ...admin.listen,
    tls: tls.admin,
    tokens: isGuarded(admin) ? [...admin.tokens, ours] : [],
    openMetrics: admin.openMetrics,
    hosts: admin.hosts,
  }
}

/** Share of the promised p95 that the backend may use; the rest is for waiting. */
const SERVICE_SHARE = 0.6

/** The settings of a pool that is not in the YAML. */
export type PoolDefaults = Omit<PoolSettings, 'backends'>

export interface TuningOptions {
  /** The defaults of the YAML, for pools of embedded models. */
  readonly defaults: PoolDefaults
  /** The fewest replicas. */
  readonly fewest: number
  /** The number of workers: each gets its share of the retries and hedges. */
  readonly workers: number
  readonly tenants: Settings['tenants']
}

/** @param given undefined: the pool of an embedded model */
export function poolTuning(
  given: PoolDefaults | undefined,
  { defaults, fewest, workers, tenants }: TuningOptions,
): PoolTuning {
  const pool = given ?? defaults
  const { balance, hedge, load, outlier, retry, queue } = pool
  return {
    policy: balance.policy,
    ...(balance.probe === undefined ? {} : { probePath: balance.probe }),
    // The process of an embedded model registers after its models were run once, so it needs no slow start.
    slowStart: { windowMs: given ? balance.slowStart.window : 0 },
    ...(balance.zone === undefined ? {} : { zone: { name: balance.zone } }),
    ...(load === undefined ? {} : { reportMaxAgeMs: load.maxAge, loadOnAnswers: load.from === 'answers' }),
    ...(pool.slo?.itl !== undefined && pool.scale ? { countsTokens: true } : {}),
    panicPercent: outlier.panicPercent,
    retry: {
      max: retry.max,
      budget: retryBudget(retry.budget.percent, workers),
    },
    hedge: hedge.percent === 0 ? undefined : hedgeOptions(hedge.percent, workers),
    outlier: {
      consecutive: outlier.consecutive,
      baseEjectionMs: outlier.baseEjection,
      maxEjectionMs: outlier.maxEjection,
      maxPercent: outlier.maxPercent,
      minRoutable: outlier.minRoutable,
    },
    limit: limitOptions(pool),
    // A queue that never falls below a tenth of the longest wait is persistent and not a burst (CoDel).
    queue: {
      maxDepth: queue.max,
      maxWaitMs: queue.maxWait,
      targetMs: Math.max(5, queue.maxWait / 10),
      intervalMs: Math.max(100, queue.maxWait / 5),
    },
    isFromZero: fewest === 0,
    shares: limitedShares(tenants),
  }
}

/** Those of the tenants that may not simply have any place, or have places of their own. */
function limitedShares(tenants: Settings['tenants'] = {}): TenantShare[] {
  const shares = Object.entries(tenants).map(([name, settings]) => shareOf(name, settings))
  return shares.filter(({ floor, labels }) => floor > 0 || labels !== undefined)
}

/**
 * Retry budget of a quiet pool, of all workers together: retries a second, how many of them at a time, and how many are
 * saved up.
 */
const RETRY_RESERVE = 10
const RETRIES_AT_ONCE = 3
const RETRY_BURST = 10

function retryBudget(percent: number, workers: number): PoolTuning['retry']['budget'] {
  return {
    percent,
    minPerSecond: RETRY_RESERVE / workers,
    minAtOnce: Math.max(1, RETRIES_AT_ONCE / workers),
    burst: RETRY_BURST / workers,
  }
}

/** Burst of hedges after a quiet time, and answers that must have been seen before, of all workers together. */
const HEDGE_BURST = 10
const HEDGE_SAMPLES = 100
/** Fewest samples for a 95th percentile. */
const LEAST_SAMPLES = 20

function hedgeOptions(percent: number, workers: number): PoolTuning['hedge'] {
  return {
    budgetPercent: percent,
    burst: Math.max(1, HEDGE_BURST / workers),
    minSamples: Math.max(LEAST_SAMPLES, Math.ceil(HEDGE_SAMPLES / workers)),
  }
}

/** The time within which 95 % of the calls are promised to be answered, or to begin to be. */
export function promisedMs(slo: NonNullable<PoolSettings['slo']>): number {
  // The schema wants one of them.
  return (slo.p95 ?? slo.ttft) as number
}

type Tuned = Pick<PoolSettings, 'connections' | 'limits' | 'slo'>

function limitOptions({ connections, limits, slo }: Tuned): PoolTuning['limit'] {
  const serviceMs = limits.serviceTime ?? (slo && promisedMs(slo) * SERVICE_SHARE)
  return {
    mode: limits.mode,
    initial: Math.min(limits.initial, connections),
    min: limits.min,
    max: Math.min(limits.max ?? connections, connections),
    most: connections,
    ...(serviceMs === undefined ? {} : { serviceMs }),
  }
}
