/** Which places of a pool a tenant may have: by the labels it asks for, and by what is kept for others. */
import type { Backend } from '../../core/backend.ts'
import { EVERYBODY, type TenantShare } from '../../core/tenant-share.ts'
import { Floors } from '../balance/fair/floors.ts'
import type { Accounts } from '../balance/fair/share-table.ts'
import { eligibilityOf } from '../balance/fair/turns.ts'
import type { PickRefusal, PickRequest, Selector } from '../balance/select.ts'
import type { LoadTable } from '../balance/table.ts'

export interface PlacesParts {
  readonly table: LoadTable
  readonly accounts: Accounts
  readonly selector: () => Selector
}

export class Places {
  readonly #parts: PlacesParts
  #floors: Floors
  /** A share of each eligibility, for what waits in other workers. */
  #kinds: ReadonlyMap<number, TenantShare> = new Map()

  constructor(parts: PlacesParts) {
    this.#parts = parts
    this.#floors = new Floors(parts.accounts, parts.table, [])
  }

  /** `shares`: of the tenants that have a floor, or may use some backends only. */
  configure(shares: readonly TenantShare[], backends: readonly Backend[]): void {
    const { accounts, table } = this.#parts
    this.#floors = new Floors(accounts, table, shares)
    this.#floors.update(backends)
    this.#kinds = new Map(shares.map((share) => [eligibilityOf(share), share]))
  }

  update(backends: readonly Backend[]): void {
    this.#floors.update(backends)
  }

  /** The backend for a call, of those with places that are not kept for others. */
  pick(request: PickRequest, share: TenantShare | undefined): Backend | PickRefusal {
    const selector = this.#parts.selector()
    const closed = this.#floors.closedTo(share)
    if (closed.length === 0) return selector.pick(request)
    const picked = selector.pick({ ...request, exclude: [...(request.exclude ?? []), ...closed] })
    return picked === 'excluded' ? 'saturated' : picked
  }

  /** Whether the tenant could have a place now, whatever the model. */
  readonly mayHave = (share: TenantShare = EVERYBODY): boolean =>
    this.#parts.selector().hasRoomFor(share.labels, this.#floors.closedTo(share))

  /** The same for tenants of this eligibility. */
  readonly mayHaveAs = (eligibility: number): boolean => this.mayHave(this.#kinds.get(eligibility))

  /** A call begins; the result is for `leave`. Undefined: its tenant has no floor. */
  enter(share: TenantShare | undefined): number | undefined {
    return share && this.#floors.enter(share)
  }

  leave(account: number): void {
    this.#floors.leave(account)
  }
}
