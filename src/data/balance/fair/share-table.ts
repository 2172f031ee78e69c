/**
 * What tenants have been served of each pool, in memory that all workers of the process share: the accounts of start-time
 * fair queueing (Goyal, Vin and Cheng, 1996).
 *
 * A tenant's account is one number, its tag: the work it was served, divided by its weight. The tenant with the lowest tag is
 * next. The virtual time of a class is the highest tag that was served; who begins to wait has at least that, so nobody saves
 * up for later what it does not use.
 *
 * The table is bounded. An account that is behind the virtual time, of a tenant that neither waits nor has places of its own,
 * says nothing, so another tenant may have its place. Where there is no such place, tenants share an account, as in stochastic
 * fairness queueing (McKenney, 1990).
 *
 * Workers write without a lock. Two that charge the same account in the same instant may lose one of the charges, which is one
 * call of thousands.
 */
import { PRIORITIES, type TenantShare } from '../../../core/tenant-share.ts'
import { lane32 } from '../../../lib/hash64.ts'

export const CLASSES = PRIORITIES.length

/** As plain data for `postMessage`. */
export interface ShareTable {
  /** Whose account it is, as two lanes of a hash; 0, 0: nobody's. */
  readonly owner: Int32Array
  /** The class and pool of each account, by which its virtual time is found. */
  readonly timeline: Int32Array
  readonly tag: Float64Array
  /** The weight of its tenant; 0: of one that may use some backends only. */
  readonly weight: Float64Array
  /** What was added to the tag here, and other gateways have not been told. */
  readonly unreported: Float64Array
  /** Calls that wait, for each account and worker. */
  readonly waiting: Int32Array
  /** Calls that run, likewise; counted for tenants with a floor alone. */
  readonly running: Int32Array
  /** The virtual time of each class of each pool. */
  readonly virtual: Float64Array
  /** The work of the pool at which a waiting call of the class is next, whatever waits in higher classes. */
  readonly floorAt: Float64Array
  /** The work of each pool that was charged. */
  readonly work: Float64Array
}

const floats = (length: number): Float64Array => new Float64Array(new SharedArrayBuffer(length * 8))
const integers = (length: number): Int32Array => new Int32Array(new SharedArrayBuffer(length * 4))

/** The places that an account may have; one lookup reads them all. */
export const WAYS = 8
/** Sixteen accounts for each backend that there may be: 16,384 where there may be 1,024. */
const ACCOUNTS = 16

export function createShareTable(slots: number, workers: number): ShareTable {
  const accounts = ACCOUNTS * Math.max(slots, WAYS)
  return {
    owner: integers(2 * accounts),
    timeline: integers(accounts),
    tag: floats(accounts),
    weight: floats(accounts),
    unreported: floats(accounts),
    waiting: integers(accounts * workers),
    running: integers(accounts * workers),
    virtual: floats(slots * CLASSES),
    floorAt: floats(slots * CLASSES),
    work: floats(slots),
  }
}

/** The first of the places that an account may have. */
export function firstPlace(low: number, places: number): number {
  return ((low >>> 0) % (places / WAYS)) * WAYS
}

/** Called after a worker has ended: nothing waits or runs there any more. */
export function forgetShares({ waiting, running }: ShareTable, workers: number, worker: number): void {
  for (let at = worker; at < waiting.length; at += workers) waiting[at] = running[at] = 0
}

/** The part of a pool's work that a class gets at least while its calls wait, however much waits in higher classes. */
const CLASS_FLOOR = 0.01
/** The work of others that goes before one row of it. */
const TO_FLOOR = 1 / CLASS_FLOOR - 1

export interface AccountsOwner {
  readonly workers: number
  readonly worker: number
  /** The column of the pool. */
  readonly column: number
  /** A digest of its name: its accounts are the same at all gateways. */
  readonly pool: number
}

/** The accounts of one pool, as one worker writes them. An account is named by its index. */
export class Accounts {
  readonly #table: ShareTable
  readonly #workers: number
  readonly #worker: number
  readonly #column: number
  readonly #pool: number

  constructor(table: ShareTable, { workers, worker, column, pool }: AccountsOwner) {
    this.#table = table
    this.#workers = workers
    this.#worker = worker
    this.#column = column
    this.#pool = pool
  }

  /** The tenant's account at this pool; it is opened if there is none. */
  of({ tenant, priority, weight, labels }: TenantShare): number {
    const { owner, timeline, tag, unreported, weight: weights } = this.#table
    const seed = Math.imul(this.#pool, CLASSES) + priority
    const low = lane32(tenant, seed)
    const high = lane32(tenant, ~seed) | 1
    const first = firstPlace(low, timeline.length)
    let free = -1
    for (let account = first; account < first + WAYS; account++) {
      if (owner[2 * account] === low && owner[2 * account + 1] === high) {
        weights[account] = labels === undefined ? weight : 0
        return account
      }
      if (free < 0 && this.#isFree(account)) free = account
    }
    if (free < 0) return first + ((high >>> 1) % WAYS)
    owner[2 * free] = low
    owner[2 * free + 1] = high
    timeline[free] = this.#column * CLASSES + priority
    weights[free] = labels === undefined ? weight : 0
    tag[free] = unreported[free] = 0
    return free
  }

  tag(account: number): number {
    return this.#table.tag[account] ?? 0
  }

  /** The tenant's calls that wait, of all workers. */
  waiting(account: number): number {
    return this.#sum(this.#table.waiting, account)
  }

  /** A call begins to wait. */
  enter(account: number): void {
    if (this.waiting(account) === 0) this.catchUp(account)
    Atomics.add(this.#table.waiting, account * this.#workers + this.#worker, 1)
  }

  /** A call waits no more. */
  leave(account: number): void {
    Atomics.sub(this.#table.waiting, account * this.#workers + this.#worker, 1)
  }

  /** Credit is not kept by a tenant that has not used its turn. */
  catchUp(account: number): void {
    const { tag, virtual, timeline } = this.#table
    tag[account] = Math.max(tag[account] ?? 0, virtual[timeline[account] ?? 0] ?? 0)
  }

  /** A call of this account is served, whoever pays for it. */
  serve(account: number): void {
    const { tag, virtual, timeline } = this.#table
    const line = timeline[account] ?? 0
    virtual[line] = Math.max(virtual[line] ?? 0, tag[account] ?? 0)
  }

  charge(share: TenantShare, cost: number): void {
    const { tag, unreported, work, floorAt } = this.#table
    const account = this.of(share)
    if (this.waiting(account) === 0) this.catchUp(account)
    const served = cost / share.weight
    tag[account] = (tag[account] ?? 0) + served
    unreported[account] = (unreported[account] ?? 0) + served
    const done = (work[this.#column] ?? 0) + cost
    work[this.#column] = done
    floorAt[this.#column * CLASSES + share.priority] = done + cost * TO_FLOOR
  }

  /** Calls of the class begin to wait: its floor counts from now. */
  begin(priority: number): void {
    const { work, floorAt } = this.#table
    const line = this.#column * CLASSES + priority
    floorAt[line] = Math.max(floorAt[line] ?? 0, (work[this.#column] ?? 0) + TO_FLOOR)
  }

  /** The order of the class: its index, or -1 while it has less than its floor. Lower goes first. */
  rank(priority: number): number {
    if (priority === 0) return 0
    const { work, floorAt } = this.#table
    const isDue = (floorAt[this.#column * CLASSES + priority] ?? 0) <= (work[this.#column] ?? 0)
    return isDue ? -1 : priority
  }

  /** A call of a tenant with a floor begins to run (1), or has ended (-1). */
  ran(account: number, change: 1 | -1): void {
    Atomics.add(this.#table.running, account * this.#workers + this.#worker, change)
  }

  running(account: number): number {
    return this.#sum(this.#table.running, account)
  }

  #isFree(account: number): boolean {
    const { owner, tag, virtual, timeline } = this.#table
    if (owner[2 * account] === 0 && owner[2 * account + 1] === 0) return true
    if (this.waiting(account) > 0 || this.running(account) > 0) return false
    return (tag[account] ?? 0) <= (virtual[timeline[account] ?? 0] ?? 0)
  }

  #sum(counts: Int32Array, account: number): number {
    const first = account * this.#workers
    let sum = 0
    for (let at = first; at < first + this.#workers; at++) sum += Atomics.load(counts, at)
    return sum
  }
}
