/**
 * Calls that wait for a backend with room: bounded, the most urgent first. Waiting here and not in the backends keeps the
 * wait visible, lets a late call be dropped before it costs anything, and lets any backend that comes free
 * take the next call.
 *
 * Order: priority, then the earliest deadline. Nobody waits longer than `maxWaitMs`; a call with a later deadline, or none, is due then, which is
 * first come, first served; under overload those are taken newest first, since the oldest have mostly been given up.
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
  /** Calls that ready backends may run together; 0: none is ready. */
  readonly limits: number
  /** How long until the first backend is ready, where none is. */
  readonly startupMs?: number
  /** Calls that wait for the same backends in other queues, and count as if they waited here. */
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

/** A call in the queue; hand it to `remove` when its caller leaves. */
export interface QueueEntry<T> {
  readonly item: T
  readonly cameAt: number
  readonly isDated: boolean
  readonly due: number
  readonly priority: number
  readonly order: number
  at: number
}

export type EnqueueResult<T> =
  | { readonly place: QueueEntry<T> }
  | { readonly refused: Dropped; readonly retryAfterMs: number }

export class WaitQueue<T> {
  #options: Required<Pick<QueueOptions, 'maxDepth' | 'maxWaitMs'>>
  #codel: Codel
  readonly #drop: (item: T, why: Dropped) => void
  readonly #oldest = new DueHeap<QueueEntry<T>>(isSooner)
  /** The undated once more, newest first; entries that have left are skipped. */
  readonly #stack: QueueEntry<T>[] = []
  #order = 0

  /** `drop` is told of each call that leaves the queue without its turn. */
  constructor(drop: (item: T, why: Dropped) => void, options: QueueOptions = {}) {
    this.#drop = drop
    this.#options = withDefaults(options)
    this.#codel = new Codel(options)
  }

  /** Takes over new settings; whoever waits goes on waiting under the old ones. */
  configure(options: QueueOptions): void {
    this.#options = withDefaults(options)
    this.#codel = new Codel(options)
  }

  get depth(): number {
    return this.#oldest.size
  }

  /** When the most urgent call came; undefined: nobody waits. */
  get since(): number | undefined {
    return this.#oldest.first?.cameAt
  }

  /** How hard the queue is pressed, 0 to 1. */
  get load(): number {
    return this.#codel.load
  }

  get isOverloaded(): boolean {
    return this.#codel.isOverloaded
  }

  /** How long a call that came now would wait, in milliseconds. */
  estimatedWaitMs(capacity: Capacity): number {
    if (capacity.limits <= 0) return capacity.startupMs ?? Infinity
    return ((this.depth + (capacity.elsewhere ?? 0)) * capacity.meanServiceMs) / capacity.limits
  }

  /** Takes a call in, unless there is no place or it would be late before its turn: refusing now is cheapest. */
  enter(
    item: T,
    waiter: QueueWaiter,
    { now, capacity }: { now: number; capacity: Capacity },
  ): EnqueueResult<T> {
    const wait = this.estimatedWaitMs(capacity)
    const longest = now + this.#options.maxWaitMs
    // Almost every call has some deadline; one further away than anybody waits says nothing about urgency.
    const isDated = waiter.deadline !== undefined && waiter.deadline < longest
    const due = Math.min(waiter.deadline ?? Infinity, longest)
    if (this.depth + (capacity.elsewhere ?? 0) >= this.#options.maxDepth)
      return { refused: 'full', retryAfterMs: wait }
    if (wait > due - now - (isDated ? capacity.medianServiceMs : 0))
      return { refused: 'wait', retryAfterMs: wait }
    const place = {
      item,
      cameAt: now,
      isDated,
      due,
      priority: waiter.priority ?? 0,
      order: this.#order++,
      at: -1,
    }
    this.#oldest.push(place)
    if (!isDated) this.#stack.push(place)
    return { place }
  }

  /** The next call to run; those that are too late or shed on the way are dropped. Undefined: nobody waits. */
  take(now: number, medianServiceMs: number): T | undefined {
    for (let place = this.#next(); place !== undefined; place = this.#next()) {
      this.remove(place)
      const left = place.due - now
      if (left < (place.isDated ? medianServiceMs : 0)) this.#drop(place.item, 'late')
      else if (this.#codel.shouldShed(now, now - place.cameAt)) this.#drop(place.item, 'shed')
      else return place.item
    }
    this.#codel.empty()
    return undefined
  }

  /** Puts back, at its old place, what was taken and could not be served. */
  restore(place: QueueEntry<T>): void {
    this.#oldest.push(place)
    if (!place.isDated) this.#stack.push(place)
  }

  /** The same call with a later deadline, at the age it has; it was taken out as too late. */
  extend(place: QueueEntry<T>, deadline: number): QueueEntry<T> {
    const longest = place.cameAt + this.#options.maxWaitMs
    const later = { ...place, isDated: deadline < longest, due: Math.min(deadline, longest), at: -1 }
    this.restore(later)
    return later
  }

  /** Drops those whose time has come without a turn; needed where nothing comes free. */
  expire(now: number): void {
    for (
      let place = this.#oldest.first;
      place !== undefined && place.due <= now;
      place = this.#oldest.first
    ) {
      this.remove(place)
      this.#drop(place.item, 'late')
    }
  }

  /** Takes a call out whose caller left; false: it was not waiting any more. */
  remove(place: QueueEntry<T>): boolean {
    if (place.at < 0) return false
    this.#oldest.remove(place)
    this.#trim()
    return true
  }

  /** Drops whoever waits, at shutdown. */
  clear(why: Dropped): void {
    for (let place = this.#oldest.first; place !== undefined; place = this.#oldest.first) {
      this.remove(place)
      this.#drop(place.item, why)
    }
  }

  #next(): QueueEntry<T> | undefined {
    const first = this.#oldest.first
    if (first === undefined || first.isDated || !this.#codel.isOverloaded) return first
    this.#trim()
    // The turn of the undated: the newest of the same class takes it.
    for (let at = this.#stack.length - 1; at >= 0; at--) {
      const place = this.#stack[at]
      if (place !== undefined && place.at >= 0 && place.priority === first.priority) return place
    }
    return first
  }

  /** Forgets places that have left: the newest at once, the others when they are most. */
  #trim(): void {
    while (this.#stack.length > 0 && (this.#stack.at(-1)?.at ?? -1) < 0) this.#stack.pop()
    if (this.#stack.length <= 2 * this.depth + 16) return
    let kept = 0
    for (const place of this.#stack) if (place.at >= 0) this.#stack[kept++] = place
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
