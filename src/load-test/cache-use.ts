/** What the cache did for a call, as `Cache-Status` says it (RFC 9211), with the rows that the gateway's `detail` counts. */
import { header, type RawPairs } from '../core/call.ts'

export type CacheUseKind = 'hit' | 'partial' | 'collapsed' | 'miss' | 'bypass'

export interface CacheUse {
  readonly kind: CacheUseKind
  /** Rows that no backend was asked for on behalf of this call. */
  readonly savedRows: number
}

/** Undefined: no cache has said anything, as where a model server is asked itself. `rows`: of the call. */
export function cacheUse(headers: RawPairs, rows: number): CacheUse | undefined {
  const field = header(headers, 'cache-status')
  if (field === undefined) return undefined
  // The cache that is nearest to the caller is the last of the list.
  const status = field.includes(',') ? field.slice(field.lastIndexOf(',') + 1) : field
  if (status.includes('; hit')) return { kind: 'hit', savedRows: rows }
  if (status.includes('; collapsed')) return { kind: 'collapsed', savedRows: rows }
  if (status.includes('fwd=partial')) return { kind: 'partial', savedRows: rowsIn(status) }
  return {
    kind: /fwd=(?:miss|uri-miss|vary-miss|stale)/.test(status) ? 'miss' : 'bypass',
    savedRows: rowsIn(status),
  }
}

/** `detail="rows hit=120 join=2 miss=6 dup=0"`: all but the missing were saved. */
function rowsIn(status: string): number {
  const [, hit, join, , dup] = /rows hit=(\d+) join=(\d+) miss=(\d+) dup=(\d+)/.exec(status) ?? []
  return Number(hit ?? 0) + Number(join ?? 0) + Number(dup ?? 0)
}
