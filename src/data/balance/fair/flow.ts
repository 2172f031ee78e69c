/** The calls of one tenant that wait for a pool, and the tenant's place among the others. */
import type { TenantShare } from '../../../core/tenant-share.ts'
import type { DueHeap, HeapItem } from '../limits/due-heap.ts'
import { type Dropped, type QueueEntry, type QueueOptions, WaitQueue } from '../limits/queue.ts'

/** A call in the queue. */
export class FairEntry<T> {
  readonly item: T
  flow: FairFlow<T>
  /** Set as soon as it is queued. */
  place!: QueueEntry<FairEntry<T>>

  constructor(item: T, flow: FairFlow<T>) {
    this.item = item
    this.flow = flow
  }
}

export class FairFlow<T> {
  readonly share: TenantShare
  /** Its account at the pool, by index. */
  account: number
  /** Which places it may have, as `eligibilityOf`. */
  readonly eligibility: number
  readonly queue: WaitQueue<FairEntry<T>>
  /** Its turn among the tenants of its class, by tag. */
  readonly turn: Standing<T>
  /** Its place among them by the length of its queue for its weight. */
  readonly excess: Standing<T>
  /** Calls that could not be served and are not back in the queue. */
  passed = 0

  constructor(
    share: TenantShare,
    { account, eligibility }: Pick<FairFlow<T>, 'account' | 'eligibility'>,
    { drop, options }: { drop: (entry: FairEntry<T>, why: Dropped) => void; options: QueueOptions },
  ) {
    this.share = share
    this.account = account
    this.eligibility = eligibility
    this.queue = new WaitQueue(drop, options)
    this.turn = new Standing(this)
    this.excess = new Standing(this)
  }
}

/** A flow in a heap, and what it is ordered by. */
export class Standing<T> implements HeapItem {
  readonly flow: FairFlow<T>
  at = -1
  by = 0
  /** The first of equals. */
  order = 0

  constructor(flow: FairFlow<T>) {
    this.flow = flow
  }
}

/** Puts a flow where it belongs by now. */
export function move<T>(heap: DueHeap<Standing<T>>, standing: Standing<T>, by: number): void {
  if (standing.at >= 0) heap.remove(standing)
  standing.by = by
  heap.push(standing)
}
