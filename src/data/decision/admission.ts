/**
 * Admission: whether a caller may have an answer, and whether its `no-cache` is honoured. All limits of callers are kept here.
 * The pipeline, a memory hit and a shared hit each ask exactly once before they work for a call. A shared hit that is not simply
 * allowed is left to the pipeline, which asks again and informs the caller; so a limit that refuses must charge nothing.
 * What goes to a backend is asked about once more: see `upstream-admission.ts`.
 */
import type { GatewayError } from '../../core/errors.ts'
import type { Identity } from '../../core/identity.ts'
import { RefreshBudget } from './refresh-budget.ts'
import type { TenantLimits } from './tenant-limits.ts'

/** What a call asks for: an answer from any source, or one that a backend gives now (`no-cache`). */
export type AdmissionCost = 'answer' | 'refresh'

/** `no-cache ignored`: the call is answered as if it had no `no-cache`. An error: it is refused. */
export type AdmissionVerdict = 'allowed' | 'no-cache ignored' | GatewayError

export interface AdmissionParts {
  /** How many workers count the calls of one caller, each on its own. */
  readonly workers?: number
  readonly limits?: Pick<TenantLimits, 'request'> | undefined
}

export class Admission {
  readonly #refreshes: RefreshBudget
  readonly #limits: AdmissionParts['limits']

  constructor({ workers = 1, limits }: AdmissionParts = {}) {
    this.#refreshes = new RefreshBudget(workers)
    this.#limits = limits
  }

  /**
   * Counts one call of this caller. Allocates nothing, since every hit calls it. `identity`: undefined where nobody is asked;
   * `caller`: from `callerOf`.
   */
  admit(identity: Identity | undefined, caller: string, cost: AdmissionCost): AdmissionVerdict {
    const refusal = this.#request(identity, caller, 1)
    if (refusal) return refusal
    return this.#refreshes.allows(caller, cost === 'refresh') ? 'allowed' : 'no-cache ignored'
  }

  /** Why a call of this caller would be refused now; undefined: it would not. Counts nothing. */
  refusal(identity: Identity | undefined, caller: string): GatewayError | undefined {
    return this.#request(identity, caller, 0)
  }

  #request(identity: Identity | undefined, caller: string, calls: number): GatewayError | undefined {
    return isLimited(identity) ? this.#limits?.request(identity, caller, calls) : undefined
  }
}

/** Whether the calls of the caller's tenant are counted. */
export function isLimited(identity: Identity | undefined): identity is Identity {
  const policy = identity?.policy
  return policy?.rate?.requests !== undefined || policy?.quota?.requests !== undefined
}

/** The caller that a call is counted for: its credentials, or its address if it sent none. */
export function callerOf(principal: string | undefined, peer: string): string {
  return principal || peer
}
