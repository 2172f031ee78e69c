/**
 * Admission: whether a caller may have an answer, and whether its `no-cache` is honoured. All limits of callers are kept here.
 * The pipeline, a memory hit and a shared hit each ask exactly once before they work for a call. A hit that is not simply
 * allowed is left to the pipeline, which asks again and informs the caller; so a limit that refuses must charge nothing.
 */
import { RefreshBudget } from './refresh-budget.ts'

/** What a call asks for: an answer from any source, or one that a backend gives now (`no-cache`). */
export type AdmissionCost = 'answer' | 'refresh'

/** `no-cache ignored`: the call is answered as if it had no `no-cache`. */
export type AdmissionVerdict = 'allowed' | 'no-cache ignored'

export class Admission {
  readonly #refreshes: RefreshBudget

  /** `workers`: how many workers count the calls of one caller, each on its own. */
  constructor({ workers = 1 }: { readonly workers?: number } = {}) {
    this.#refreshes = new RefreshBudget(workers)
  }

  /** Counts one call of this caller. Allocates nothing, since every hit calls it. */
  admit(caller: string, cost: AdmissionCost): AdmissionVerdict {
    return this.#refreshes.allows(caller, cost === 'refresh') ? 'allowed' : 'no-cache ignored'
  }
}

/** The caller that a call is counted for: its credentials, or its address if it sent none. */
export function callerOf(principal: string | undefined, peer: string): string {
  return principal || peer
}
