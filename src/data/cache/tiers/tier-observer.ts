/** What becomes of the operations of a shared tier, for whoever counts them. */
import type { LeaseOp } from './guarded-leases.ts'

export type TierOp = 'get' | 'set' | 'delete' | 'claim' | 'facts' | 'publish' | LeaseOp

/** `hit`, `miss`: a look-up, hit if it found any; `skipped`: the breaker is open, or the value too large. */
export type TierOutcome = 'hit' | 'miss' | 'ok' | 'error' | 'skipped'

/** Told of every operation; must not throw. */
export interface TierObserver {
  tier(name: string, op: TierOp, outcome: TierOutcome, ms: number): void
}
