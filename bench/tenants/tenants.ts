/** Tenants with API keys at a gateway, each with a load of its own, over real sockets. */
import { createHash } from 'node:crypto'
import { load, type Sample } from '../load.ts'

export interface TenantPlan {
  readonly name: string
  /** What the settings give it. */
  readonly weight?: number
  readonly priority?: 'critical' | 'standard' | 'sheddable'
  readonly floor?: number
  /** Rows of each call. Default 1. */
  readonly rows?: number
  /** Callers that each send the next call when they have the answer; or: */
  readonly callers?: number
  /** calls a second, evenly spaced. */
  readonly rate?: number
  /** Milliseconds from the start in which it sends. Default: all the time. */
  readonly from?: number
  readonly until?: number
}

export interface PoolPlan {
  readonly workers: number
  readonly backend: string
  /** Calls that the backend takes at a time. */
  readonly places: number
  readonly tenants: readonly TenantPlan[]
}

const keyOf = (tenant: string) => `bench-key-of-${tenant}`
const hashOf = (tenant: string) => `sha256:${createHash('sha256').update(keyOf(tenant)).digest('hex')}`

/** The YAML of a gateway whose pool is full for as long as the load lasts, and whose queue sheds nothing. */
export function settingsOf({ workers, backend, places, tenants }: PoolPlan): string {
  const names = [...new Set(tenants.map(({ name }) => name))]
  return JSON.stringify({
    server: { workers },
    log: { level: 'warn' },
    auth: { keys: names.map((name) => ({ name, tenant: name, hash: hashOf(name) })) },
    tenants: Object.fromEntries(
      tenants.map(({ name, weight = 1, priority = 'standard', floor = 0 }) => [
        name,
        { weight, priority, floor },
      ]),
    ),
    pools: {
      main: {
        backends: [{ url: backend, concurrency: places }],
        limits: { mode: 'declared' },
        queue: { max: 10_000, maxWait: '30s' },
      },
    },
    // Rows are what is shared, so calls are read into them; none is ever asked for twice.
    routes: [{ name: 'main', pool: 'main', cache: { rows: 'always', ttl: '1s' } }],
  })
}

/** A call that was answered well. */
export interface Answered {
  readonly tenant: string
  readonly rows: number
  /** Milliseconds from the start, and how long it took. */
  readonly at: number
  readonly ms: number
}

export interface Played {
  readonly answered: readonly Answered[]
  /** Calls that were not answered well. */
  readonly failed: number
}

/** Lets the tenants send for so long, and waits for the last answer. */
export async function play(url: string, tenants: readonly TenantPlan[], durationMs: number): Promise<Played> {
  const all = await Promise.all(
    tenants.map(async (tenant) => ({ tenant, samples: await samplesOf(url, tenant, durationMs) })),
  )
  const answered = all.flatMap(({ tenant: { name, rows = 1 }, samples }) =>
    samples.flatMap(({ status, at, ms }) => (status === 200 ? { tenant: name, rows, at, ms } : [])),
  )
  const sent = all.reduce((sum, { samples }) => sum + samples.length, 0)
  return { answered, failed: sent - answered.length }
}

let next = 0

async function samplesOf(url: string, tenant: TenantPlan, durationMs: number): Promise<Sample[]> {
  const { name, rows = 1, callers, rate, from = 0, until = durationMs } = tenant
  await new Promise((resolve) => setTimeout(resolve, from))
  const samples = await load({
    url: `${url}/v1/models/m:predict`,
    headers: { authorization: `Bearer ${keyOf(name)}` },
    body: () => JSON.stringify({ instances: Array.from({ length: rows }, () => [next++]) }),
    durationMs: until - from,
    ...(callers === undefined ? {} : { callers }),
    ...(rate === undefined ? {} : { rate }),
    timeoutMs: 60_000,
  })
  return samples.map((sample) => ({ ...sample, at: sample.at + from }))
}

/** Each tenant's part of the rows that were answered between two times. */
export function partsOf({ answered }: Played, from: number, to: number): Record<string, number> {
  const rows: Record<string, number> = {}
  let all = 0
  for (const { tenant, rows: count, at, ms } of answered) {
    if (at + ms < from || at + ms >= to) continue
    rows[tenant] = (rows[tenant] ?? 0) + count
    all += count
  }
  return Object.fromEntries(Object.entries(rows).map(([tenant, count]) => [tenant, count / all]))
}

/** Rows of a tenant a second between two times. */
export function rateOf({ answered }: Played, tenant: string, from: number, to: number): number {
  const rows = answered
    .filter((call) => call.tenant === tenant && call.at + call.ms >= from && call.at + call.ms < to)
    .reduce((sum, call) => sum + call.rows, 0)
  return (rows * 1000) / (to - from)
}

/** A quantile of a tenant's latencies, in milliseconds, of the calls that were due from a time on. */
export function latencyOf({ answered }: Played, tenant: string, q: number, from: number): number {
  const all = answered.flatMap((call) => (call.tenant === tenant && call.at >= from ? call.ms : []))
  return all.sort((a, b) => a - b)[Math.floor(q * all.length)] ?? Number.NaN
}
