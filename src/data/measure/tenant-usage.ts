/**
 * Counts what each tenant has used, where calls are answered. Each thread counts for itself and gives away what it has counted
 * since the last time, so a thread that ends takes hardly anything with it.
 */
import type { Answered, Observer } from '../../core/observer.ts'
import { type Outcome, outcomeLabel, type TokenCounts } from '../../core/reply.ts'
import type { RowCounts } from '../../core/row-counts.ts'

/** What a tenant has used; as plain data for `postMessage`. */
export interface TenantCounts {
  /** Calls by what the cache did, those that were refused (`none`) as well. */
  readonly calls: Readonly<Record<string, number>>
  /** Calls that a cache has answered, by tier. */
  readonly hits: Readonly<Record<string, number>>
  /** Rows of calls that were answered; a call that is not read into rows is one. */
  readonly rows: RowCounts
  /** Tokens that backends have taken, of tenants with a limit of them, by type (`input`, `output`). */
  readonly tokens: Readonly<Record<string, number>>
  /** Tokens that calls would have taken, had the cache or another call not answered them; likewise. */
  readonly savedTokens: Readonly<Record<string, number>>
  /** Refused calls, by the limit that was used up or the code of the error. */
  readonly refused: Readonly<Record<string, number>>
}

/** By tenants as the settings name them; the empty name: those who were refused before anybody knew who they are. */
export type UsageReport = ReadonlyMap<string, TenantCounts>

export const UNIDENTIFIED = ''

interface Counts extends TenantCounts {
  readonly calls: Record<string, number>
  readonly hits: Record<string, number>
  readonly rows: { -readonly [K in keyof RowCounts]: number }
  readonly tokens: Record<string, number>
  readonly savedTokens: Record<string, number>
  readonly refused: Record<string, number>
}

/** Errors by which the gateway turns a caller away, and does not fail. */
const REFUSALS: ReadonlySet<string> = new Set(['unauthenticated', 'forbidden', 'rateLimited', 'overloaded'])

export class TenantUsage {
  #tenants = new Map<string, Counts>()

  /** The given observer, with its calls counted here as well. */
  observing(observer: Observer): Observer {
    return {
      ...observer,
      answered: (answered) => {
        observer.answered(answered)
        const tenant = tenantOf(answered)
        if (tenant !== undefined) this.#count(tenant, answered)
      },
      charged: (tenant, tokens) => {
        observer.charged(tenant, tokens)
        countTokens(this.#of(tenant).tokens, tokens)
      },
    }
  }

  /** What was counted since the last time. */
  take(): UsageReport {
    const taken = this.#tenants
    if (taken.size > 0) this.#tenants = new Map()
    return taken
  }

  #of(tenant: string): Counts {
    let counts = this.#tenants.get(tenant)
    if (!counts) this.#tenants.set(tenant, (counts = noCounts()))
    return counts
  }

  #count(tenant: string, { outcome, fault, limit, saved }: Answered): void {
    const counts = this.#of(tenant)
    increment(counts.calls, outcomeLabel(outcome), 1)
    if (outcome.kind === 'hit') increment(counts.hits, outcome.tier, 1)
    countRows(counts.rows, outcome)
    if (saved) countTokens(counts.savedTokens, saved)
    if (fault !== undefined && REFUSALS.has(fault)) increment(counts.refused, limit ?? fault, 1)
  }
}

/** Adds a report to totals. */
export function addUsage(totals: Map<string, TenantCounts>, report: UsageReport): void {
  for (const [tenant, more] of report) {
    const counts: Counts = totals.get(tenant) ?? noCounts()
    totals.set(tenant, counts)
    for (const part of ['calls', 'hits', 'rows', 'tokens', 'savedTokens', 'refused'] as const)
      for (const [name, count] of Object.entries(more[part])) increment(counts[part], name, count)
  }
}

export function noCounts(): Counts {
  const rows = { hit: 0, join: 0, miss: 0, dup: 0 }
  return { calls: {}, hits: {}, rows, tokens: {}, savedTokens: {}, refused: {} }
}

/** Undefined: nobody was asked. Without a valid credential nobody is anybody, whatever the anonymous may have elsewhere. */
function tenantOf({ tenant, fault }: Answered): string | undefined {
  if (fault === 'unauthenticated') return UNIDENTIFIED
  return tenant ?? (fault === 'forbidden' ? UNIDENTIFIED : undefined)
}

function countRows(rows: Counts['rows'], outcome: Outcome): void {
  switch (outcome.kind) {
    case 'hit':
    case 'stale':
      rows.hit += outcome.rows ?? 1
      return
    case 'miss':
      if (outcome.collapsed) rows.join += outcome.rows ?? 1
      else rows.miss += outcome.rows ?? 1
      return
    case 'request':
      rows.miss += outcome.rows ?? 1
      return
    case 'bypass':
      rows.miss++
      return
    case 'none':
      return
    case 'partial':
      for (const result of ['hit', 'join', 'miss', 'dup'] as const) rows[result] += outcome.rows[result]
  }
}

function countTokens(counts: Record<string, number>, { input, output }: TokenCounts): void {
  if (input > 0) increment(counts, 'input', input)
  if (output > 0) increment(counts, 'output', output)
}

function increment(counts: Record<string, number>, name: string, by: number): void {
  counts[name] = (counts[name] ?? 0) + by
}
