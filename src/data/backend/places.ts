/**
 * Which places of a pool a tenant may have: by the labels it asks for, by what is kept for others, and by what is another
 * gateway's.
 */
import type { Backend } from '../../core/backend.ts'
import { EVERYBODY, type TenantShare } from '../../core/tenant-share.ts'
import { Floors } from '../balance/fair/floors.ts'
import { PoolPart } from '../balance/fair/pool-part.ts'
import type { Accounts } from '../balance/fair/share-table.ts'
import { eligibilityOf } from '../balance/fair/turns.ts'
import type { PickRefusal, PickRequest, Selector } from '../balance/select.ts'
import { columnOf, inflightOf, type LoadTable, placesOf } from '../balance/table.ts'

export interface PlacesParts {
  readonly pool: string
  readonly now: () => number
  readonly table: LoadTable
  readonly accounts: Accounts
  readonly selector: () => Selector
}

export class Places {
  readonly #parts: PlacesParts
  /** Undefined: no column is left for the pool. */
  readonly #part: PoolPart | undefined
  #floors: Floors
  #backends: readonly Backend[] = []
  /** A share of each eligibility, for what waits in other workers. */
  #kinds: ReadonlyMap<number, TenantShare> = new Map()

  constructor(parts: PlacesParts) {
    this.#parts = parts
    const column = columnOf(parts.table, parts.pool)
    this.#part = column === undefined ? undefined : new PoolPart(parts.table.parts, column, parts.now)
    this.#floors = new Floors(parts.accounts, parts.table, [])
  }

  /** `shares`: of the tenants that have a floor, or may use some backends only. */
  configure(shares: readonly TenantShare[], backends: readonly Backend[]): void {
    const { accounts, table } = this.#parts
    this.#floors = new Floors(accounts, table, shares)
    this.update(backends)
    this.#kinds = new Map(shares.map((share) => [eligibilityOf(share), share]))
  }

  update(backends: readonly Backend[]): void {
    this.#backends = backends
    this.#floors.update(backends)
  }

  /** To be called about every 100 ms: says how many places there are, and how many are in use here. */
  tick(): void {
    const { table, selector } = this.#parts
    let places = 0
    for (const { slot, state } of this.#backends)
      if (state === 'ready' && selector().isUsable(slot)) places += placesOf(table, slot)
    this.#part?.publish(Math.max(Math.min(1, places), places - this.#floors.kept), this.#inUse)
  }

  /** Calls wait for the pool at other gateways as well, so this one uses no more than its part of the places. */
  get isDivided(): boolean {
    return this.#most !== Infinity
  }

  /** This gateway leaves free places to others. */
  get isHeldBack(): boolean {
    const most = this.#most
    return most !== Infinity && this.#inUse >= most
  }

  /** Calls wait that have no use for the places that are free. */
  useless(): void {
    this.#part?.useless()
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
    !this.#leaves(share) && this.#parts.selector().hasRoomFor(share.labels, this.#floors.closedTo(share))

  /** The same for tenants of this eligibility. */
  readonly mayHaveAs = (eligibility: number): boolean => this.mayHave(this.#kinds.get(eligibility))

  /** A call begins; the result is for `leave`. Undefined: its tenant has no floor. */
  enter(share: TenantShare | undefined): number | undefined {
    return share && this.#floors.enter(share)
  }

  leave(account: number): void {
    this.#floors.leave(account)
  }

  get #most(): number {
    return this.#part?.most ?? Infinity
  }

  #leaves(share: TenantShare): boolean {
    return share.labels === undefined && !this.#floors.hasOwn(share) && this.isHeldBack
  }

  /** The places that this gateway uses of those that are for all tenants. */
  get #inUse(): number {
    let calls = 0
    for (const { slot, state } of this.#backends)
      if (state === 'ready') calls += inflightOf(this.#parts.table, slot)
    return calls - this.#floors.used
  }
}
