/**
 * Lets workers serve each other's queues: a call that waits in one worker gets the place that becomes free in another. Each
 * worker writes to the load table which of its calls is next for a pool, and how many wait. A worker with a free place leaves
 * it to the worker whose call goes before all others, and rings its bell. A bell that is missed costs only time: a place that
 * was not taken is given away a few milliseconds later, and every worker checks its queue ten times a second.
 *
 * The order is that of `FairQueue`: the class, the tenant's tag, and then the time of arrival.
 */
import type { QueueBacklog } from '../fair/fair-queue.ts'
import { Accounts, CLASSES } from '../fair/share-table.ts'
import { columnOf, incarnationOf, type LoadTable } from '../table.ts'

/** The call of a queue that is next. */
export interface Head {
  /** When it arrived, monotonic. */
  readonly since: number
  /** Of its tenant. */
  readonly account: number
  readonly priority: number
  /** Which places its tenant may have, as `eligibilityOf`. */
  readonly eligibility: number
  /** Others wait behind it who may have different places. */
  readonly isMixed: boolean
}

/** Whether a tenant of this eligibility could have a free place. */
export type MayHave = (eligibility: number) => boolean

/** The other workers, as one pool of this worker sees them. */
export class Neighbours {
  /** The accounts of the pool, which all workers share. */
  readonly accounts: Accounts
  readonly #table: LoadTable
  /** Undefined: there are no other workers, or no column is left. */
  readonly #column: number | undefined
  readonly #elsewhere: QueueBacklog = { calls: new Int32Array(CLASSES), weights: new Float64Array(CLASSES) }
  /** The call for which places were left last, how often its worker had looked by then, and how many places. */
  #leftTo = -1
  #leftSince = 0
  #leftLooks = 0
  #left = 0
  #isOverdue = false

  constructor(table: LoadTable, pool: string) {
    const { workers, worker } = table
    const column = columnOf(table, pool)
    this.#table = table
    this.#column = workers === 1 ? undefined : column
    this.accounts = new Accounts(table.shares, {
      workers,
      worker,
      column: column ?? 0,
      pool: incarnationOf(pool, 0),
    })
  }

  /** Publishes which call is next here (undefined: none waits), and what waits. */
  publish(head: Head | undefined, { calls, weights }: QueueBacklog): void {
    if (this.#column === undefined) return
    const { worker, slots, waiting, waitingBy, waitingFor, waitingMixed, wanting } = this.#table
    const { queued, queuedWeight } = this.#table
    const at = worker * slots + this.#column
    waiting[at] = head?.since ?? 0
    waitingBy[at] = head ? head.account * CLASSES + head.priority : 0
    waitingFor[at] = head?.eligibility ?? 0
    waitingMixed[at] = head?.isMixed === true ? 1 : 0
    wanting[at] = 1
    for (let priority = 0; priority < CLASSES; priority++) {
      queuedWeight[at * CLASSES + priority] = weights[priority] ?? 0
      Atomics.store(queued, at * CLASSES + priority, calls[priority] ?? 0)
    }
  }

  /** This worker has tried to serve its queue. `isWanting`: calls still wait, and there is no room. */
  looked(isWanting: boolean): void {
    if (this.#column === undefined) return
    const { worker, slots, wanting, looks } = this.#table
    const at = worker * slots + this.#column
    wanting[at] = isWanting ? 1 : 0
    Atomics.add(looks, at, 1)
  }

  /** Calls that wait for the pool in other workers. */
  get queued(): number {
    if (this.#column === undefined) return 0
    const { workers, worker } = this.#table
    let sum = 0
    for (let other = 0; other < workers; other++) if (other !== worker) sum += this.#queuedIn(other)
    return sum
  }

  /** The same by class; the result is good until the next call. Undefined: there are no other workers. */
  get elsewhere(): QueueBacklog | undefined {
    if (this.#column === undefined) return undefined
    const { workers, worker, slots, queued, queuedWeight } = this.#table
    const { calls, weights } = this.#elsewhere
    calls.fill(0)
    weights.fill(0)
    for (let other = 0; other < workers; other++) {
      if (other === worker) continue
      for (let priority = 0; priority < CLASSES; priority++) {
        const at = (other * slots + this.#column) * CLASSES + priority
        calls[priority] = (calls[priority] ?? 0) + Atomics.load(queued, at)
        weights[priority] = (weights[priority] ?? 0) + (queuedWeight[at] ?? 0)
      }
    }
    return this.#elsewhere
  }

  /**
   * True where a call in another worker goes before any here, and could have a free place: that is left to the worker, which has
   * been woken, until `retake`. A worker that has looked and has no use for the place is not left another for the
   * same call; one that has not looked yet is left as many as calls wait there.
   */
  leavesPlace(own: Head | undefined, mayHave: MayHave): boolean {
    const other = this.#before(own, mayHave)
    if (other < 0) return false
    this.#ring(other)
    if (!this.#isOnItsWay(other)) return this.#isWorthIt(other)
    if (this.#isOverdue || this.#left >= this.#queuedIn(other)) return false
    this.#left++
    return true
  }

  /** The same for a call that has just arrived: what was left to a worker that has not looked yet is none of its places. */
  mustYield(own: Head | undefined, mayHave: MayHave): boolean {
    const other = this.#before(own, mayHave)
    if (other < 0) return false
    return this.#isOnItsWay(other) ? !this.#isOverdue : this.leavesPlace(own, mayHave)
  }

  /** Nobody here has a use for the places that are free: wakes the workers where somebody behind the first may have. */
  offer(hasRoom: () => boolean, mayHave: MayHave): void {
    if (this.#column === undefined) return
    const { workers, worker, slots, waitingFor, waitingMixed } = this.#table
    for (let other = 0; other < workers; other++) {
      const at = other * slots + this.#column
      if (other === worker || waitingMixed[at] !== 1 || !hasRoom()) continue
      if (!mayHave(waitingFor[at] ?? 0)) this.#ring(other)
    }
  }

  /** The places that were left should have been taken by now: they are anybody's. */
  retake(): void {
    this.#isOverdue = true
  }

  #ring(other: number): void {
    Atomics.add(this.#table.bell, other, 1)
    Atomics.notify(this.#table.bell, other)
  }

  /** The worker has not looked since it was left a place. */
  #isOnItsWay(other: number): boolean {
    const at = other * this.#table.slots + (this.#column ?? 0)
    return (
      this.#leftTo === other &&
      this.#leftSince === this.#table.waiting[at] &&
      this.#leftLooks === Atomics.load(this.#table.looks, at)
    )
  }

  #isWorthIt(other: number): boolean {
    const { slots, waiting, wanting, looks } = this.#table
    const at = other * slots + (this.#column ?? 0)
    const since = waiting[at] ?? 0
    if (this.#leftTo === other && this.#leftSince === since && wanting[at] === 0) return false
    this.#leftTo = other
    this.#leftSince = since
    this.#leftLooks = Atomics.load(looks, at)
    this.#left = 1
    this.#isOverdue = false
    return true
  }

  #queuedIn(other: number): number {
    const { slots, queued } = this.#table
    const at = (other * slots + (this.#column ?? 0)) * CLASSES
    let sum = 0
    for (let priority = 0; priority < CLASSES; priority++) sum += Atomics.load(queued, at + priority)
    return sum
  }

  /** The worker whose call could have a free place and goes before this one and those of all others; -1: there is none. */
  #before(own: Head | undefined, mayHave: MayHave): number {
    if (this.#column === undefined) return -1
    const { workers, worker, slots, waiting, waitingBy, waitingFor } = this.#table
    let first = -1
    let rank = own ? this.accounts.rank(own.priority) : Infinity
    let tag = own ? this.accounts.tag(own.account) : Infinity
    let since = own?.since ?? Infinity
    for (let other = 0; other < workers; other++) {
      const at = other * slots + this.#column
      const from = other === worker ? 0 : (waiting[at] ?? 0)
      if (from <= 0) continue
      const by = waitingBy[at] ?? 0
      const itsRank = this.accounts.rank(by % CLASSES)
      const itsTag = this.accounts.tag(Math.floor(by / CLASSES))
      if (itsRank !== rank ? itsRank > rank : itsTag !== tag ? itsTag > tag : from >= since) continue
      if (!mayHave(waitingFor[at] ?? 0)) continue
      first = other
      rank = itsRank
      tag = itsTag
      since = from
    }
    return first
  }
}

/** A worker that has been stopped may be listening for this long. */
const LISTEN_MS = 1_000

/** Runs `heard` whenever this worker's bell rings, until `signal` is aborted. */
export async function listenForBell(
  { bell, worker }: LoadTable,
  onBell: () => void,
  signal: AbortSignal,
): Promise<void> {
  let seen = Atomics.load(bell, worker)
  while (!signal.aborted) {
    const wait = Atomics.waitAsync(bell, worker, seen, LISTEN_MS)
    if (wait.async) await wait.value
    const now = Atomics.load(bell, worker)
    if (now !== seen && !signal.aborted) onBell()
    seen = now
  }
}
