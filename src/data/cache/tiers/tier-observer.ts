/** The outcomes of a shared tier's operations, for whoever counts them. */
import type { LeaseOp } from './guarded-leases.ts'

export type TierOp = 'get' | 'set' | 'delete' | 'claim' | 'facts' | 'publish' | LeaseOp

/** `hit`, `miss`: a lookup, a hit if it found any key; `skipped`: the breaker is open, or the value too large. */
export type TierOutcome = 'hit' | 'miss' | 'ok' | 'error' | 'skipped'

/** Called for every operation; must not throw. */
export interface TierObserver {
  tier(name: string, op: TierOp, outcome: TierOutcome, ms: number): void
  /** A value or fact that is not rightly sealed, and counts as absent. */
  unverified(name: string): void
}
