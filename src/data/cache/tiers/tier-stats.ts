/** Statistics of the cache, for `GET /api/v1/cache/stats`, the metrics, and the scaler, which checks that the cache works. */

import type { MemoryStats } from '../memory/memory.ts'
import type { BreakerState } from './breaker.ts'

export interface TierStats {
  readonly name: string
  /** The breaker of lookups. */
  readonly state: BreakerState
  readonly writes: BreakerState
  /** Why the tier is not asked, for people; undefined while it is. */
  readonly trouble?: string | undefined
  readonly hits: number
  readonly misses: number
  /** Values that were not the envelope of their key: garbled, foreign, or of another release. */
  readonly garbled: number
  readonly stored: number
  readonly failed: number
  readonly dropped: number
  readonly queued: number
  readonly queuedBytes: number
}

export interface TieredStats {
  readonly memory?: MemoryStats & { readonly bytes: number; readonly entries: number }
  readonly tiers: readonly TierStats[]
  /** Entries that broke a bound of the envelope and were stored nowhere. */
  readonly unstorable: number
}
