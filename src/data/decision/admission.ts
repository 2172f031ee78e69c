/**
 * Whether a caller may have a call, and how much of what it asks for: the one place where limits of callers are kept.
 * Every way that answers a call asks here exactly once before it works for the call: the pipeline, a hit in memory, and a
 * hit in a shared tier. A hit that is not plainly allowed is left to the pipeline, which asks again and tells the caller; so
 * a limit that refuses must charge nothing.
 */
import { RefreshBudget } from './refresh-budget.ts'

/** What a call asks for: an answer, from wherever it comes; or an answer that a backend gives now (`no-cache`). */
export type AdmissionCost = 'answer' | 'refresh'

/** `no-cache ignored`: answered as if it had not asked past the cache. */
export type AdmissionVerdict = 'allowed' | 'no-cache ignored'

export class Admission {
  readonly #refreshes: RefreshBudget

  /** `workers`: by how many the calls of one caller may be counted. */
  constructor({ workers = 1 }: { readonly workers?: number } = {}) {
    this.#refreshes = new RefreshBudget(workers)
  }

  /** Counts one call of this caller. Makes no object: it is asked by every hit. */
  admit(caller: string, cost: AdmissionCost): AdmissionVerdict {
    return this.#refreshes.allows(caller, cost === 'refresh') ? 'allowed' : 'no-cache ignored'
  }
}

/** Whose call it is: of its credentials, or of its address where it has none. */
export function callerOf(principal: string | undefined, peer: string): string {
  return principal || peer
}
