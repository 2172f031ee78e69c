/**
 * Places of a pool that are kept for tenants with a floor: who else comes leaves them free. Whatever the floors are, one place
 * is not kept, so that nobody is locked out of a pool that has become small. A tenant that may use only some backends has
 * its places there.
 */
import type { Backend } from '../../../core/backend.ts'
import type { Labels } from '../../../core/labels.ts'
import { EVERYBODY, type TenantShare } from '../../../core/tenant-share.ts'
import { isLabelled } from '../policies/candidates.ts'
import { freeOf, type LoadTable, placesOf } from '../table.ts'
import type { Accounts } from './share-table.ts'

/** The tenants whose floors lie within some backends. */
interface Region {
  readonly labels: Labels | undefined
  readonly shares: readonly TenantShare[]
  slots: readonly number[]
}

export class Floors {
  readonly #accounts: Accounts
  readonly #table: LoadTable
  readonly #regions: readonly Region[]
  readonly #shares: readonly TenantShare[]

  /** `shares`: those of all tenants; the ones without a floor are not looked at again. */
  constructor(accounts: Accounts, table: LoadTable, shares: readonly TenantShare[]) {
    this.#accounts = accounts
    this.#table = table
    this.#shares = shares.filter(({ floor }) => floor > 0)
    this.#regions = regionsOf(this.#shares)
  }

  /** Takes over which backends there are. */
  update(backends: readonly Backend[]): void {
    const usable = backends.filter(({ state }) => state !== 'draining')
    for (const region of this.#regions)
      region.slots = usable.filter((backend) => isLabelled(backend, region.labels)).map(({ slot }) => slot)
  }

  /** The slots whose free places are all kept for others than this tenant. */
  closedTo({ tenant }: TenantShare = EVERYBODY): readonly number[] {
    let closed = NONE
    for (const { slots, shares } of this.#regions)
      if (!this.#hasSpare(slots, shares, tenant)) closed = closed.length === 0 ? slots : closed.concat(slots)
    return closed
  }

  /** The places of all floors. */
  get kept(): number {
    return this.#shares.reduce((sum, { floor }) => sum + floor, 0)
  }

  /** How many of them are in use. */
  get used(): number {
    return this.#shares.reduce((sum, share) => sum + this.#usedOf(share), 0)
  }

  /** The tenant has a place of its own left. */
  hasOwn(share: TenantShare): boolean {
    return share.floor > 0 && this.#usedOf(share) < share.floor
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

  #hasSpare(slots: readonly number[], shares: readonly TenantShare[], tenant: string): boolean {
    let [places, free, kept, used] = [0, 0, 0, 0]
    for (const slot of slots) {
      places += placesOf(this.#table, slot)
      free += freeOf(this.#table, slot)
    }
    for (const share of shares) {
      if (share.tenant === tenant) continue
      kept += share.floor
      used += this.#usedOf(share)
    }
    return free > Math.max(0, Math.min(kept, places - 1) - used)
  }

  #usedOf(share: TenantShare): number {
    return Math.min(share.floor, this.#accounts.running(this.#accounts.of(share)))
  }
}

const NONE: readonly number[] = []

/** One for each set of labels, with the floors of all tenants that have at least these. */
function regionsOf(shares: readonly TenantShare[]): Region[] {
  const sets = new Map(shares.map(({ labels }) => [JSON.stringify(labels ?? {}), labels]))
  return [...sets.values()].map((labels) => ({
    labels,
    shares: shares.filter((share) => isLabelled(share, labels)),
    slots: NONE,
  }))
}
