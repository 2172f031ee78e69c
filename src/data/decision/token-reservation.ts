/** Tokens that a call may take of a backend, charged before it is sent; what it has taken is charged in their place when it is over. */
import type { Quota, RateLimit } from '../../lib/rate.ts'
import type { Account } from './account-places.ts'
import type { LimitTable } from './limit-table.ts'
import type { QuotaTable } from './quota-table.ts'

/** What was charged, and where. The settings may change while the call runs. */
export interface Reserved {
  readonly most: number
  readonly ofRate: { readonly rate: RateLimit; readonly account: Account } | undefined
  readonly ofQuota: { readonly quota: Quota; readonly account: Account } | undefined
}

interface Tables {
  readonly limits: Pick<LimitTable, 'correct'>
  readonly quotas: Pick<QuotaTable, 'settle'>
}

export class TokenReservation {
  readonly #tables: Tables
  readonly #reserved: Reserved
  #isSettled = false

  constructor(tables: Tables, reserved: Reserved) {
    this.#tables = tables
    this.#reserved = reserved
  }

  /** `used`: the tokens that the call has taken; 0: it has failed. Only the first call counts. */
  settle(used: number): void {
    if (this.#isSettled) return
    this.#isSettled = true
    const { most, ofRate, ofQuota } = this.#reserved
    const { limits, quotas } = this.#tables
    if (ofRate) limits.correct(ofRate.account, { rate: ofRate.rate, cost: used - most })
    if (ofQuota) quotas.settle(ofQuota.account, ofQuota.quota, { cost: most, used })
  }
}
