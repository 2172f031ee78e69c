/**
 * A bounded queue of calls that wait for a backend with room, shared by tenants: a queue for each tenant, and start-time fair
 * queueing among them, as FQ-CoDel does it with packets (RFC 8290). Within a tenant the order is that of `WaitQueue`.
 *
 *   class of priority → the tenant with the lowest tag → its most urgent call
 *
 * A class goes before those after it, but each of those has a small part of the work all the same, so nobody starves. What a
 * call costs is charged when it is served, to the tenants that it is for. A full queue refuses or drops the call that deserves
 * its place least: of a lower class than the newcomer, or of a tenant with a longer queue for its weight.
 */
import { type Charge, EVERYBODY, type TenantShare } from '../../../core/tenant-share.ts'
import { DueHeap } from '../limits/due-heap.ts'
import type { Capacity, Dropped, QueueOptions, QueueWaiter } from '../limits/queue.ts'
import { FairEntry, FairFlow, move, type Standing } from './flow.ts'
import { type Accounts, CLASSES } from './share-table.ts'
import { eligibilityOf, Turns } from './turns.ts'

export interface FairWaiter extends Pick<QueueWaiter, 'deadline'> {
  /** By whose share the call waits; undefined: everybody's. */
  readonly share?: TenantShare | undefined
}

/** Calls that wait, by class, and the weights of their tenants. */
export interface QueueBacklog {
  readonly calls: Int32Array
  readonly weights: Float64Array
}

/** What the pool can do. */
export interface FairCapacity extends Omit<Capacity, 'elsewhere'> {
  /** What waits for the same backends in other queues. */
  readonly elsewhere?: QueueBacklog | undefined
}

export type FairResult<T> =
  | { readonly entry: FairEntry<T> }
  | { readonly refused: Dropped; readonly retryAfterMs: number }

const MAX_DEPTH = 1_000
/** Tenants whose queues are kept while they are empty, for their measure of overload. */
const MAX_IDLE = 256
/** How many of them are looked at when there are more. */
const MAX_LOOKS = 4

export class FairQueue<T> implements QueueBacklog {
  readonly calls = new Int32Array(CLASSES)
  readonly weights = new Float64Array(CLASSES)
  readonly #drop: (item: T, why: Dropped) => void
  readonly #accounts: Accounts
  readonly #flows = new Map<TenantShare, FairFlow<T>>()
  readonly #turns: Turns<T>
  readonly #excesses = Array.from({ length: CLASSES }, () => new DueHeap<Standing<T>>((a, b) => a.by > b.by))
  readonly #passed: FairEntry<T>[] = []
  #options: QueueOptions
  #depth = 0

  /** `drop` is called for each call that leaves the queue without being served. */
  constructor(accounts: Accounts, drop: (item: T, why: Dropped) => void, options: QueueOptions = {}) {
    this.#accounts = accounts
    this.#turns = new Turns(accounts)
    this.#drop = drop
    this.#options = options
  }

  /** Takes new settings; calls in the queue go on waiting under the old ones. */
  configure(options: QueueOptions): void {
    this.#options = options
    for (const { queue } of this.#flows.values()) queue.configure(unbounded(options))
  }

  get depth(): number {
    return this.#depth
  }

  /** Tenants wait that may have different places. */
  get isMixed(): boolean {
    return this.#turns.isMixed
  }

  /**
   * The tenant whose call is next; undefined: none waits, or all that wait were passed over. `mayHave`: only of those that
   * could have a free place.
   */
  next(mayHave?: (share: TenantShare) => boolean): FairFlow<T> | undefined {
    return this.#turns.next(mayHave)
  }

  /** Queues a call, unless it would be late before its turn, or the queue is full of calls that deserve their places more. */
  enter(item: T, waiter: FairWaiter, state: { now: number; capacity: FairCapacity }): FairResult<T> {
    const flow = this.#flow(waiter.share ?? EVERYBODY)
    const capacity = { ...state.capacity, elsewhere: this.#ahead(flow, state.capacity) - flow.queue.depth }
    const spared = this.#isFull(state.capacity) ? this.#leastDeserving(flow) : undefined
    if (this.#isFull(state.capacity) && !spared && !this.#isShort(flow, state.capacity))
      return { refused: 'full', retryAfterMs: flow.queue.estimatedWaitMs(capacity) }
    const entry = new FairEntry(item, flow)
    const result = flow.queue.enter(entry, waiter, { now: state.now, capacity })
    if ('refused' in result) return result
    const { priority } = flow.share
    if (this.#calls(priority, state.capacity.elsewhere) === 0) this.#accounts.begin(priority)
    if (spared) this.#spare(spared)
    entry.place = result.entry
    this.#entered(flow)
    return { entry }
  }

  /**
   * Takes the next call, dropping those that are late or shed before it; `serve` or `pass` is to follow. Undefined: none waits
   * whose tenant could have a free place, or all that wait were passed over.
   */
  take(
    now: number,
    medianServiceMs: number,
    mayHave?: (share: TenantShare) => boolean,
  ): FairEntry<T> | undefined {
    for (let flow = this.next(mayHave); flow !== undefined; flow = this.next(mayHave)) {
      const entry = flow.queue.take(now, medianServiceMs)
      if (!entry) continue
      this.#left(flow)
      return entry
    }
    return undefined
  }

  /** A call that was taken is served. */
  serve({ flow }: FairEntry<T>, charges: readonly Charge[]): void {
    this.#accounts.serve(flow.account)
    for (const { share, cost } of charges) this.#accounts.charge(share, cost)
  }

  /**
   * A call that was taken cannot be served: it gets its old place back at `resume`. After `most` of them its tenant is passed
   * over until then, since they may all wait for the same backend.
   */
  pass(entry: FairEntry<T>, most: number): void {
    const { flow } = entry
    this.#accounts.catchUp(flow.account)
    this.#passed.push(entry)
    flow.passed++
    if (flow.passed >= most) this.#turns.remove(flow)
  }

  /** Puts the calls that were passed over back. */
  resume(): void {
    for (const entry of this.#passed) this.#restore(entry, entry.flow)
    for (const { flow } of this.#passed.splice(0)) flow.passed = 0
  }

  /** Queues a call that was taken out as late again, with a later deadline. */
  extend(entry: FairEntry<T>, deadline: number): void {
    entry.place = entry.flow.queue.extend(entry.place, deadline)
    this.#entered(entry.flow)
  }

  /** A waiting call goes on waiting by another share. */
  promote(entry: FairEntry<T>, share: TenantShare): void {
    if (this.remove(entry)) this.#restore(entry, this.#flow(share))
  }

  /** Removes a call whose caller has left; false: it was not waiting any more. */
  remove(entry: FairEntry<T>): boolean {
    if (!entry.flow.queue.remove(entry.place)) return false
    this.#left(entry.flow)
    return true
  }

  /** Drops the calls that are due; needed where no backend becomes free. */
  expire(now: number): void {
    for (const { queue } of this.#flows.values()) queue.expire(now)
  }

  /** Calls that are served before another one of this tenant, as if all waited in this queue. */
  #ahead({ share, account }: FairFlow<T>, { elsewhere }: FairCapacity): number {
    const { priority, weight } = share
    let higher = 0
    for (let each = 0; each < priority; each++) higher += this.#calls(each, elsewhere)
    const own = this.#accounts.waiting(account) + 1
    const inTurn = (own * this.#weights(share, elsewhere)) / weight - 1
    return higher + Math.min(this.#calls(priority, elsewhere), inTurn)
  }

  #isFull({ elsewhere }: FairCapacity): boolean {
    let calls = 0
    for (let priority = 0; priority < CLASSES; priority++) calls += this.#calls(priority, elsewhere)
    return calls >= (this.#options.maxDepth ?? MAX_DEPTH)
  }

  /** The tenant that has to spare a call for this one; undefined: none deserves its places less. */
  #leastDeserving({ share, queue }: FairFlow<T>): FairFlow<T> | undefined {
    for (let priority = CLASSES - 1; priority >= share.priority; priority--) {
      const most = this.#excesses[priority]?.first
      if (!most) continue
      return priority > share.priority || most.by > (queue.depth + 1) / share.weight ? most.flow : undefined
    }
    return undefined
  }

  /**
   * The queue is full of calls that wait in other workers, and cannot be dropped from here: whether the tenant has less than its
   * share of it. In this worker it is never longer than its bound.
   */
  #isShort({ share, account }: FairFlow<T>, { elsewhere }: FairCapacity): boolean {
    const most = this.#options.maxDepth ?? MAX_DEPTH
    if (!elsewhere || this.#depth >= most) return false
    let calls = 0
    for (let priority = 0; priority <= share.priority; priority++) calls += this.#calls(priority, elsewhere)
    if (calls < most) return true
    return this.#accounts.waiting(account) < (most * share.weight) / this.#weights(share, elsewhere)
  }

  #spare({ queue }: FairFlow<T>): void {
    const { last } = queue
    if (last && this.remove(last.item)) this.#drop(last.item.item, 'full')
  }

  #calls(priority: number, elsewhere: QueueBacklog | undefined): number {
    return (this.calls[priority] ?? 0) + (elsewhere?.calls[priority] ?? 0)
  }

  /** The weights of the tenants of a class that wait, this one included. */
  #weights(share: TenantShare, elsewhere: QueueBacklog | undefined): number {
    const { priority, weight } = share
    const isWaiting = (this.#flows.get(share)?.queue.depth ?? 0) > 0
    return (this.weights[priority] ?? 0) + (elsewhere?.weights[priority] ?? 0) + (isWaiting ? 0 : weight)
  }

  #restore(entry: FairEntry<T>, flow: FairFlow<T>): void {
    entry.flow = flow
    flow.queue.restore(entry.place)
    this.#entered(flow)
  }

  /** A call has come into a tenant's queue. */
  #entered(flow: FairFlow<T>): void {
    const { share, queue, excess, account } = flow
    const { priority, weight } = share
    this.#accounts.enter(account)
    this.#depth++
    this.calls[priority] = (this.calls[priority] ?? 0) + 1
    if (queue.depth === 1) this.weights[priority] = (this.weights[priority] ?? 0) + weight
    this.#turns.add(flow)
    this.#measure(excess)
  }

  /** A call has left a tenant's queue. */
  #left(flow: FairFlow<T>): void {
    const { share, queue, excess, account } = flow
    const { priority, weight } = share
    this.#accounts.leave(account)
    this.#depth--
    this.calls[priority] = (this.calls[priority] ?? 0) - 1
    if (queue.depth > 0) return this.#measure(excess)
    this.weights[priority] = this.calls[priority] === 0 ? 0 : (this.weights[priority] ?? 0) - weight
    this.#turns.remove(flow)
    if (excess.at >= 0) this.#excesses[priority]?.remove(excess)
  }

  #measure(excess: Standing<T>): void {
    const { share, queue } = excess.flow
    move(this.#excesses[share.priority] as DueHeap<Standing<T>>, excess, queue.depth / share.weight)
  }

  #flow(share: TenantShare): FairFlow<T> {
    const known = this.#flows.get(share)
    if (known) {
      // Nothing that waits is counted there, so another tenant may have the account by now.
      if (known.queue.depth === 0) known.account = this.#accounts.of(share)
      return known
    }
    const at = { account: this.#accounts.of(share), eligibility: eligibilityOf(share) }
    const flow = new FairFlow<T>(share, at, {
      drop: (entry, why) => {
        this.#left(entry.flow)
        this.#drop(entry.item, why)
      },
      options: unbounded(this.#options),
    })
    this.#flows.set(share, flow)
    this.#forget()
    return flow
  }

  /** Forgets tenants that do not wait, where there are many. */
  #forget(): void {
    let looks = 0
    for (const [share, flow] of this.#flows) {
      if (this.#flows.size <= MAX_IDLE || ++looks > MAX_LOOKS) return
      this.#flows.delete(share)
      if (flow.queue.depth > 0 || flow.passed > 0) this.#flows.set(share, flow)
    }
  }
}

/** The bound is one of all tenants together. */
function unbounded(options: QueueOptions): QueueOptions {
  return { ...options, maxDepth: Infinity }
}
