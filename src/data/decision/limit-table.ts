/**
 * What the tenants have used lately, in memory that all workers of the process share: token buckets, and requests that run.
 * A bucket is one number, the time at which it will be full again (the virtual scheduling of GCRA, ITU-T I.371). One that
 * is full is as good as none, so its place may be given to another tenant: the table is bounded.
 */

import { lane32 } from '../../lib/hash64.ts'
import { freeLock, isHeldBy, Lock } from '../../lib/lock.ts'
import type { RateLimit } from '../../lib/rate.ts'

/** As plain data for `postMessage`. */
export interface LimitBytes {
  /** The lock, in one word. */
  readonly lock: Int32Array
  /** Whose place it is, as two lanes of a hash; 0, 0: nobody's. */
  readonly account: Int32Array
  /** For each place, when its bucket is full again, in monotonic milliseconds of the process. */
  readonly fullAt: Float64Array
  /** Requests that run, a word for each place and worker. */
  readonly running: Int32Array
  readonly workers: number
}

const WAYS = 8
const PLACES = 32_768
/** Longer than any critical section; who still does not get the lock is not limited. */
const LOCK_MS = 50

export function allocateLimits(workers: number, places = PLACES): LimitBytes {
  const words = (length: number) => new SharedArrayBuffer(length * 4)
  return {
    lock: new Int32Array(words(1)),
    account: new Int32Array(words(places * 2)),
    fullAt: new Float64Array(new SharedArrayBuffer(places * 8)),
    running: new Int32Array(words(places * workers)),
    workers,
  }
}

/** Called after a worker has ended: its requests run no more. */
export function forgetLimits({ lock, running, workers }: LimitBytes, worker: number): void {
  for (let at = worker; at < running.length; at += workers) running[at] = 0
  if (isHeldBy(lock, 0, worker + 1)) freeLock(lock, 0)
}

/** What is counted of whom; the limit is a part of its name, so that another limit begins with a full bucket. */
export interface Account {
  readonly high: number
  readonly low: number
}

export function accountOf(name: string): Account {
  // Zero stands for nobody.
  return { high: lane32(name, SEED_HIGH) | 1, low: lane32(name, SEED_LOW) }
}

/** What is charged, and against what. */
export interface LimitCharge {
  readonly rate: RateLimit
  /** Milliseconds of the rate that may be used at once. */
  readonly burst: number
  readonly cost: number
}

export class LimitTable {
  readonly #bytes: LimitBytes
  readonly #worker: number
  readonly #lock: Lock
  readonly #now: () => number

  /** `now`: the same clock in all threads. */
  constructor(bytes: LimitBytes, { worker, now }: { readonly worker: number; readonly now: () => number }) {
    this.#bytes = bytes
    this.#worker = worker
    this.#lock = new Lock(bytes.lock, 0, worker + 1)
    this.#now = now
  }

  /** Charges the account; returns the milliseconds after which it may ask again, 0 if it was charged. */
  charge(account: Account, charge: LimitCharge): number {
    if (!this.#lock.acquire(LOCK_MS)) return 0
    const waitMs = this.#charge(this.#place(account), charge)
    this.#lock.release()
    return waitMs
  }

  /** Counts a request in; returns its place for `leave`, or undefined if so many run already. */
  enter(account: Account, most: number): number | undefined {
    if (!this.#lock.acquire(LOCK_MS)) return NOWHERE
    const { running, workers } = this.#bytes
    const place = this.#place(account)
    const isAllowed = this.#running(place) < most
    if (isAllowed)
      running[place * workers + this.#worker] = (running[place * workers + this.#worker] ?? 0) + 1
    this.#lock.release()
    return isAllowed ? place : undefined
  }

  leave(place: number): void {
    const { running, workers } = this.#bytes
    const at = place * workers + this.#worker
    // Only this worker writes here. A worker that did not get the lock counted nothing.
    if ((running[at] ?? 0) > 0) Atomics.sub(running, at, 1)
  }

  #charge(place: number, { rate, burst, cost }: LimitCharge): number {
    const { fullAt } = this.#bytes
    const now = this.#now()
    const unitMs = rate.perMs / rate.count
    const from = Math.max(fullAt[place] ?? 0, now)
    // One unit may always be used; a charge of many may overdraw the bucket once.
    const waitMs = from + unitMs - now - Math.max(burst, unitMs)
    if (waitMs > FRACTION) return waitMs
    fullAt[place] = from + unitMs * cost
    return 0
  }

  /** The place of the account, which is made for it if there is none. */
  #place({ high, low }: Account): number {
    const { account: accounts, fullAt } = this.#bytes
    const first = ((low >>> 0) % (accounts.length / 2 / WAYS)) * WAYS
    let best = first
    for (let place = first; place < first + WAYS; place++) {
      if (accounts[place * 2] === high && accounts[place * 2 + 1] === low) return place
      if (this.#debt(place) < this.#debt(best)) best = place
    }
    accounts[best * 2] = high
    accounts[best * 2 + 1] = low
    fullAt[best] = 0
    return best
  }

  /** How much would be forgotten with the account in this place; its running requests count most. */
  #debt(place: number): number {
    const { account, fullAt } = this.#bytes
    if (account[place * 2] === 0) return -1
    if (this.#running(place) > 0) return Number.POSITIVE_INFINITY
    return Math.max(0, (fullAt[place] ?? 0) - this.#now())
  }

  #running(place: number): number {
    const { running, workers } = this.#bytes
    let sum = 0
    for (let worker = 0; worker < workers; worker++) sum += running[place * workers + worker] ?? 0
    return sum
  }
}

/** The place of a request that was not counted. */
const NOWHERE = -1
/** Times are sums of fractions: what is off by less than this is exact. */
const FRACTION = 1e-6
const SEED_HIGH = 0x6a09e667
const SEED_LOW = 0x3c6ef372
