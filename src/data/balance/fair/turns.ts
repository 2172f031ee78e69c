/**
 * Whose turn it is: of the tenants that wait, by class and tag. Tenants that may have the same places stand in one line, so
 * that those whose places are all taken hold up nobody else, and need not be looked at one by one.
 */
import type { TenantShare } from '../../../core/tenant-share.ts'
import { lane32 } from '../../../lib/hash64.ts'
import { DueHeap } from '../limits/due-heap.ts'
import { type FairFlow, move, type Standing } from './flow.ts'
import { type Accounts, CLASSES } from './share-table.ts'

/** Which places a tenant may have, as a number that is the same in all workers. 0: any that are no floor of others. */
export function eligibilityOf({ tenant, floor, labels }: TenantShare): number {
  if (floor <= 0 && labels === undefined) return 0
  const sorted = Object.entries(labels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
  return lane32(JSON.stringify([floor > 0 ? tenant : '', sorted]), SEED) | 1
}

const SEED = 0x243f6a88

/** Tenants of one eligibility; `share` is that of any of them. */
interface Line<T> {
  readonly share: TenantShare
  /** By class. */
  readonly heaps: readonly DueHeap<Standing<T>>[]
}

export class Turns<T> {
  readonly #accounts: Accounts
  readonly #lines = new Map<number, Line<T>>()
  #order = 0

  constructor(accounts: Accounts) {
    this.#accounts = accounts
  }

  /** Tenants wait that may have different places. */
  get isMixed(): boolean {
    return this.#lines.size > 1
  }

  /** A tenant begins to wait, unless it does already. */
  add({ turn, share, account, eligibility }: FairFlow<T>): void {
    if (turn.at >= 0) return
    turn.order = this.#order++
    turn.by = this.#accounts.tag(account)
    const line = this.#lines.get(eligibility) ?? { share, heaps: heapsOf<T>() }
    this.#lines.set(eligibility, line)
    line.heaps[share.priority]?.push(turn)
  }

  /** A tenant waits no more, or is passed over. */
  remove({ turn, share, eligibility }: FairFlow<T>): void {
    if (turn.at < 0) return
    const line = this.#lines.get(eligibility)
    line?.heaps[share.priority]?.remove(turn)
    if (line?.heaps.every(({ size }) => size === 0)) this.#lines.delete(eligibility)
  }

  /** The tenant that is next, of those that could have a free place; `mayHave` is asked once for each eligibility. */
  next(mayHave?: (share: TenantShare) => boolean): FairFlow<T> | undefined {
    let next: FairFlow<T> | undefined
    for (const { share, heaps } of this.#lines.values()) {
      if (mayHave && !mayHave(share)) continue
      for (let priority = 0; priority < CLASSES; priority++) {
        const flow = this.#firstOf(heaps[priority] as DueHeap<Standing<T>>)
        if (flow && (next === undefined || this.#goesBefore(flow, next))) next = flow
      }
    }
    return next
  }

  /** The first of a class. Other workers may have charged tenants since they were put in order. */
  #firstOf(heap: DueHeap<Standing<T>>): FairFlow<T> | undefined {
    for (let turn = heap.first; turn !== undefined; turn = heap.first) {
      const tag = this.#accounts.tag(turn.flow.account)
      if (tag <= turn.by) return turn.flow
      move(heap, turn, tag)
    }
    return undefined
  }

  #goesBefore(one: FairFlow<T>, other: FairFlow<T>): boolean {
    const [mine, its] = [one.share.priority, other.share.priority]
    if (mine === its) return isBefore(one.turn, other.turn)
    const [myRank, itsRank] = [this.#accounts.rank(mine), this.#accounts.rank(its)]
    return myRank !== itsRank ? myRank < itsRank : mine < its
  }
}

function heapsOf<T>(): DueHeap<Standing<T>>[] {
  return Array.from({ length: CLASSES }, () => new DueHeap<Standing<T>>(isBefore))
}

function isBefore<T>(a: Standing<T>, b: Standing<T>): boolean {
  return a.by !== b.by ? a.by < b.by : a.order < b.order
}
