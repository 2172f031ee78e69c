/** Places of a pool that are kept for tenants with a floor: who else comes leaves them free. */
import { EVERYBODY, type TenantShare } from '../../../core/tenant-share.ts'
import type { Accounts } from './share-table.ts'

export class Floors {
  readonly #accounts: Accounts
  readonly #shares: readonly TenantShare[]

  /** `shares`: those of all tenants; the ones without a floor are not looked at again. */
  constructor(accounts: Accounts, shares: readonly TenantShare[]) {
    this.#accounts = accounts
    this.#shares = shares.filter(({ floor }) => floor > 0)
  }

  /** False: nobody has a floor. */
  get isKept(): boolean {
    return this.#shares.length > 0
  }

  /** Whether the tenant may have one of so many free places. */
  allows({ tenant }: TenantShare = EVERYBODY, free: number): boolean {
    let kept = 0
    for (const share of this.#shares) {
      const missing = share.floor - this.#accounts.running(this.#accounts.of(share))
      if (share.tenant !== tenant && missing > 0) kept += missing
    }
    return free > kept
  }

  /** A call begins; the result is for `leave`. Undefined: its tenant has no floor. */
  enter(share: TenantShare = EVERYBODY): number | undefined {
    if (share.floor <= 0) return undefined
    const account = this.#accounts.of(share)
    this.#accounts.ran(account, 1)
    return account
  }

  leave(account: number): void {
    this.#accounts.ran(account, -1)
  }
}
