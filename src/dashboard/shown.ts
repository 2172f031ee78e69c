/** Answers of the admin API as the page reads them: the members that it shows. */
import type { RowCounts } from '../core/row-counts.ts'

export interface ShownBackend {
  readonly id: string
  readonly slot: number
  readonly url?: string
  readonly grpc?: string
  readonly models: readonly { readonly name: string; readonly version?: string; readonly digest?: string }[]
  readonly weight: number
  readonly zone?: string
  readonly state: string
  readonly reason: string
  readonly source: string
  readonly labels: Readonly<Record<string, string>>
  readonly inflight: number
  readonly leaseRemainingMs?: number
  readonly effective?: { readonly state: string; readonly reason: string }
  readonly share?: number
  readonly latencyMs?: number
  readonly limit?: number
}

export interface ShownPool {
  readonly pool: string
  readonly preservation?: string
  readonly backends: readonly ShownBackend[]
}

export interface ShownTier {
  readonly name: string
  readonly state: string
  readonly writes: string
  readonly trouble?: string
  readonly hits: number
  readonly misses: number
  readonly garbled: number
  readonly stored: number
  readonly failed: number
  readonly dropped: number
  readonly queued: number
  readonly queuedBytes: number
}

export interface TierTotals {
  readonly memory?: {
    readonly hits: number
    readonly misses: number
    readonly evictions: number
    readonly admitted: number
    readonly refused: number
    readonly bytes: number
    readonly entries: number
  }
  readonly tiers: readonly ShownTier[]
  readonly unstorable: number
  readonly flights: number
}

export interface ShownScale {
  readonly pool: string
  readonly desired: number
  readonly ready: number
  readonly starting: number
  readonly min: number
  readonly max: number
  readonly direction: string
  readonly mode: string
  readonly reason: string
  readonly sentence: string
  readonly speaks: string
  readonly sloFeasible: boolean
  readonly scalingIneffective: boolean
  readonly isCapped: boolean
  readonly demand: {
    readonly missesPerSecond: number
    readonly callsPerSecond: number
    readonly hitRatio: number
    readonly concurrency: { readonly mean: number; readonly p95: number }
    readonly serviceMs: { readonly mean: number; readonly p95: number }
    readonly slotsNeeded: number
    readonly slotsPerReplica: number
    readonly queue: number
    readonly observedP95Ms?: number
  }
}

export interface ShownTenant {
  readonly tenant: string
  readonly calls: Readonly<Record<string, number>>
  readonly rows: RowCounts
  readonly tokens: Readonly<Record<string, number>>
  readonly savedTokens: Readonly<Record<string, number>>
  readonly refused: Readonly<Record<string, number>>
}

/** A line of the log; the other members depend on the event. */
export interface LogLineView {
  readonly level: string
  readonly time: string
  readonly event: string
  readonly [field: string]: unknown
}

export interface ShownExplanation {
  readonly route: string
  readonly pool: string
  readonly protocol: string
  readonly verb: string
  readonly model?: string
  readonly version?: string
  readonly cacheable: boolean
  readonly reason?: string
  readonly key?: string
  readonly rows?: readonly { readonly key: string; readonly tier?: string }[]
  readonly rowCount?: number
  readonly kept?: { readonly tier: string; readonly ageMs: number; readonly ttlMs: number }
}

/** Outcomes of the cache for which no backend was asked, and those for which one was. */
const SPARED = ['hit', 'collapsed', 'stale']
const ASKED = ['miss', 'partial', 'bypass', 'request']

/** Share of calls that needed no backend; undefined where there were none. */
export function hitRatioOf(calls: Readonly<Record<string, number>>): number | undefined {
  const sum = (names: readonly string[]) => names.reduce((all, name) => all + (calls[name] ?? 0), 0)
  const all = sum(SPARED) + sum(ASKED)
  return all > 0 ? sum(SPARED) / all : undefined
}

export function totalOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0)
}

/** Rows that needed no backend, of all. */
export function savedRows({ hit, join, dup }: RowCounts): number {
  return hit + join + dup
}
