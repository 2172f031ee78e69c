/**
 * A bounded queue of calls that wait for a backend with room, the most urgent first. Waiting here and not in the backends
 * keeps the wait visible, lets a late call be dropped before it costs anything, and lets any backend that becomes free take
 * the next call.
 *
 * Order: priority, then the earliest deadline. No call waits longer than `maxWaitMs`: a call with a later deadline, or none,
 * is due then, so such calls are served first come, first served. Under overload they are served newest first, since the
 * callers of the oldest have mostly left.
 */
import { Codel, type CodelOptions } from './codel.ts'
import { DueHeap } from './due-heap.ts'

export interface QueueOptions extends CodelOptions {
  /** Default 1000. */
  readonly maxDepth?: number
  /** The longest a call waits. Default 5 s. */
  readonly maxWaitMs?: number
}

/** What the pool can do, for the estimate of the wait. */
export interface Capacity {
  readonly meanServiceMs: number
  readonly medianServiceMs: number
  /** The concurrency limits of all ready backends together; 0: none is ready. */
  readonly limits: number
  /** How long until the first backend is ready, where none is. */
  readonly startupMs?: number
  /** Calls that wait for the same backends in other queues; they count as if they waited here. */
  readonly elsewhere?: number
}

export interface QueueWaiter {
  /** Monotonic; undefined: none. */
  readonly deadline?: number | undefined
  /** Lower goes first. Default 0. */
  readonly priority?: number
}

/** Why a call was refused or dropped: `full` and `wait` before it waited, `late` and `shed` after. */
export type Dropped = 'full' | 'wait' | 'late' | 'shed'

/** A call in the queue, to be given to `remove` when its caller leaves. */
export interface QueueEntry<T> {
  readonly item: T
  readonly arrivedAt: number
  readonly isDated: boolean
  readonly due: number
  readonly priority: number
  readonly order: number
  at: number
}

export type EnqueueResult<T> =
  | { readonly entry: QueueEntry<T> }
  | { readonly refused: Dropped; readonly retryAfterMs: number }

export class WaitQueue<T> {
  #options: Required<Pick<QueueOptions, 'maxDepth' | 'maxWaitMs'>>
  #codel: Codel
  readonly #drop: (item: T, why: Dropped) => void
  readonly #oldest = new DueHeap<QueueEntry<T>>(isSooner)
  /** The calls without a deadline again, newest first; those that have left are skipped. */
  readonly #stack: QueueEntry<T>[] = []
  #order = 0

  /** `drop` is called for each call that leaves the queue without being served. */
  constructor(drop: (item: T, why: Dropped) => void, options: QueueOptions = {}) {
    this.#drop = drop
    this.#options = withDefaults(options)
    this.#codel = new Codel(options)
  }

  /** Takes new settings; calls in the queue go on waiting under the old ones. */
  configure(options: QueueOptions): void {
    this.#options = withDefaults(options)
    this.#codel = new Codel(options)
  }

  get depth(): number {
    return this.#oldest.size
  }

  /** When the most urgent call arrived; undefined: none waits. */
  get since(): number | undefined {
    return this.#oldest.first?.arrivedAt
  }

  /** The call that can best be spared: the newest, and under overload, where the newest is served first, the oldest. */
  get last(): QueueEntry<T> | undefined {
    if (this.#codel.isOverloaded) return this.#oldest.first
    this.#trim()
    return this.#stack.at(-1) ?? this.#oldest.last
  }

  /** The pressure on the queue, 0 to 1. */
  get load(): number {
    return this.#codel.load
  }

  get isOverloaded(): boolean {
    return this.#codel.isOverloaded
  }

  /** How long a call that arrives now would wait, in milliseconds. */
  estimatedWaitMs(capacity: Capacity): number {
    if (capacity.limits <= 0) return capacity.startupMs ?? Infinity
    return ((this.depth + (capacity.elsewhere ?? 0)) * capacity.meanServiceMs) / capacity.limits
  }

  /** Queues a call, unless the queue is full or the call would be late before its turn: refusing it now is cheapest. */
  enter(
    item: T,
    waiter: QueueWaiter,
    { now, capacity }: { now: number; capacity: Capacity },
  ): EnqueueResult<T> {
    const wait = this.estimatedWaitMs(capacity)
    const longest = now + this.#options.maxWaitMs
    // Almost every call has some deadline; one that is later than the longest wait says nothing about urgency.
    const isDated = waiter.deadline !== undefined && waiter.deadline < longest
    const due = Math.min(waiter.deadline ?? Infinity, longest)
    if (this.depth + (capacity.elsewhere ?? 0) >= this.#options.maxDepth)
      return { refused: 'full', retryAfterMs: wait }
    if (wait > due - now - (isDated ? capacity.medianServiceMs : 0))
      return { refused: 'wait', retryAfterMs: wait }
    const entry = {
      item,
      arrivedAt: now,
      isDated,
      due,
      priority: waiter.priority ?? 0,
      order: this.#order++,
      at: -1,
    }
    this.#oldest.push(entry)
    if (!isDated) this.#stack.push(entry)
    return { entry }
  }

  /** Takes the next call to run, dropping those that are late or shed before it. Undefined: none waits. */
  take(now: number, medianServiceMs: number): T | undefined {
    for (let entry = this.#next(); entry !== undefined; entry = this.#next()) {
      this.remove(entry)
      const left = entry.due - now
      if (left < (entry.isDated ? medianServiceMs : 0)) this.#drop(entry.item, 'late')
      else if (this.#codel.shouldShed(now, now - entry.arrivedAt)) this.#drop(entry.item, 'shed')
      else return entry.item
    }
    this.#codel.empty()
    return undefined
  }

  /** Puts a call that could not be served back at its old place. */
  restore(entry: QueueEntry<T>): void {
    this.#oldest.push(entry)
    if (!entry.isDated) this.#stack.push(entry)
  }

  /** Queues a call that was taken out as late again, with a later deadline and its old time of arrival. */
  extend(entry: QueueEntry<T>, deadline: number): QueueEntry<T> {
    const longest = entry.arrivedAt + this.#options.maxWaitMs
    const later = { ...entry, isDated: deadline < longest, due: Math.min(deadline, longest), at: -1 }
    this.restore(later)
    return later
  }

  /** Drops the calls that are due; needed where no backend becomes free. */
  expire(now: number): void {
    for (
      let entry = this.#oldest.first;
      entry !== undefined && entry.due <= now;
      entry = this.#oldest.first
    ) {
      this.remove(entry)
      this.#drop(entry.item, 'late')
    }
  }

  /** Removes a call whose caller has left; false: it was not waiting any more. */
  remove(entry: QueueEntry<T>): boolean {
    if (entry.at < 0) return false
    this.#oldest.remove(entry)
    this.#trim()
    return true
  }

  /** Drops all calls, at shutdown. */
  clear(why: Dropped): void {
    for (let entry = this.#oldest.first; entry !== undefined; entry = this.#oldest.first) {
      this.remove(entry)
      this.#drop(entry.item, why)
    }
  }

  #next(): QueueEntry<T> | undefined {
    const first = this.#oldest.first
    if (first === undefined || first.isDated || !this.#codel.isOverloaded) return first
    this.#trim()
    // A call without a deadline is next: of those of its priority, the newest is served.
    for (let at = this.#stack.length - 1; at >= 0; at--) {
      const entry = this.#stack[at]
      if (entry !== undefined && entry.at >= 0 && entry.priority === first.priority) return entry
    }
    return first
  }

  /** Forgets entries that have left: the newest at once, the others when they are the majority. */
  #trim(): void {
    while (this.#stack.length > 0 && (this.#stack.at(-1)?.at ?? -1) < 0) this.#stack.pop()
    if (this.#stack.length <= 2 * this.depth + 16) return
    let kept = 0
    for (const entry of this.#stack) if (entry.at >= 0) this.#stack[kept++] = entry
    this.#stack.length = kept
  }
}

function withDefaults({ maxDepth = 1_000, maxWaitMs = 5_000 }: QueueOptions) {
  return { maxDepth, maxWaitMs }
}

function isSooner<T>(a: QueueEntry<T>, b: QueueEntry<T>): boolean {
  if (a.priority !== b.priority) return a.priority < b.priority
  return a.due !== b.due ? a.due < b.due : a.order < b.order
}
