/**
 * What the tenants have used lately, in memory that all workers of the process share: token buckets, and requests that run.
 * A bucket is what is owed to it, in milliseconds of its rate: it is full when nothing is owed. One that is full is as good as
 * none, so its place may be given to another tenant: the table is bounded.
 *
 * Where there are other gateways, `PeerLimits` adds what they have used ten times a second. In between each gateway refills a
 * bucket by what they leave of the rate (`pace`), and uses no more than its part of what was in it (`held`), so that together
 * they use it once.
 */
import { freeLock, isHeldBy, Lock } from '../../lib/lock.ts'
import type { RateLimit } from '../../lib/rate.ts'
import { type Account, AccountPlaces, PLACES } from './account-places.ts'

/** As plain data for `postMessage`. Each place is one account's. */
export interface LimitBytes {
  /** The lock, in one word. */
  readonly lock: Int32Array
  /** Whose place it is, as two lanes of a hash; 0, 0: nobody's. */
  readonly owners: Int32Array
  /** Milliseconds of the rate that were owed to the bucket at the monotonic time `at`. */
  readonly debt: Float64Array
  readonly at: Float64Array
  /** The part of the rate that other gateways seem to use, below 1. */
  readonly pace: Float64Array
  /**
   * Milliseconds of the rate that were charged here, and that other gateways have not been told; below 0: of what they were told,
   * so much was given back, and the next charges are not told.
   */
  readonly unreported: Float64Array
  /** What was left to other gateways at the first charge of the round `heldIn`. */
  readonly held: Float64Array
  readonly heldIn: Int32Array
  /** Requests that run, a word for each place and worker. */
  readonly running: Int32Array
  /** Requests that run at other gateways. */
  readonly elsewhere: Int32Array
  readonly terms: SharingTerms
  readonly workers: number
}

/** How the gateways share, one number each. */
export interface SharingTerms {
  /** The part of each limit that is this gateway's: below 1 where it does not hear of the others. */
  readonly share: Float64Array
  /** The part of what is left of a limit that may be used until the others are heard again. */
  readonly part: Float64Array
  /** The least burst, in milliseconds. */
  readonly minBurst: Float64Array
  /** How often all of them have been heard. */
  readonly round: Int32Array
}

/** Longer than any critical section; who still does not get the lock is not limited. */
export const LOCK_MS = 50

export function allocateLimits(workers: number, places = PLACES): LimitBytes {
  const words = (length: number) => new Int32Array(new SharedArrayBuffer(length * 4))
  const floats = (length: number) => new Float64Array(new SharedArrayBuffer(length * 8))
  return {
    lock: words(1),
    owners: words(places * 2),
    debt: floats(places),
    at: floats(places),
    pace: floats(places),
    unreported: floats(places),
    held: floats(places),
    heldIn: words(places),
    running: words(places * workers),
    elsewhere: words(places),
    terms: { share: floats(1).fill(1), part: floats(1).fill(1), minBurst: floats(1), round: words(1) },
    workers,
  }
}

/** Called after a worker has ended: its requests run no more. */
export function forgetLimits({ lock, running, workers }: LimitBytes, worker: number): void {
  for (let at = worker; at < running.length; at += workers) running[at] = 0
  if (isHeldBy(lock, 0, worker + 1)) freeLock(lock, 0)
}

/** What is charged, and against what. */
export interface LimitCharge {
  readonly rate: RateLimit
  /** Milliseconds of the rate that may be used at once. */
  readonly burst: number
  readonly cost: number
}

/** Which thread looks at the table, and its clock: the same in all threads. */
export interface LimitViewer {
  readonly worker: number
  readonly now: () => number
}

export class LimitTable {
  readonly #bytes: LimitBytes
  readonly #worker: number
  readonly #lock: Lock
  readonly #now: () => number
  readonly #places: AccountPlaces

  constructor(bytes: LimitBytes, { worker, now }: LimitViewer) {
    this.#bytes = bytes
    this.#worker = worker
    this.#lock = new Lock(bytes.lock, 0, worker + 1)
    this.#now = now
    this.#places = limitPlaces(bytes, now)
  }

  /** The time by which buckets are refilled. */
  now(): number {
    return this.#now()
  }

  /** Charges the account; returns the milliseconds after which it may ask again, 0 if it was charged. */
  charge(account: Account, charge: LimitCharge): number {
    if (!this.#lock.acquire(LOCK_MS)) return 0
    const waitMs = this.#charge(this.#places.of(account), charge)
    this.#lock.release()
    return waitMs
  }

  /**
   * Corrects a charge by units that turned out to be more (above 0) or fewer. What is given back fills the bucket at most; what is
   * owed besides is bounded, so that one answer does not shut a tenant out for days.
   */
  correct(account: Account, { rate, cost }: Pick<LimitCharge, 'rate' | 'cost'>): void {
    if (!this.#lock.acquire(LOCK_MS)) return
    const { debt, unreported, terms } = this.#bytes
    const place = this.#places.of(account)
    const owed = settle(this.#bytes, place, this.#now())
    const share = terms.share[0] ?? 1
    const ms = (cost * rate.perMs) / rate.count / share
    const room = Math.max(0, Math.max(MAX_DEBT_MS, rate.perMs) - owed)
    const applied = Math.max(-owed, Math.min(ms, room))
    debt[place] = owed + applied
    unreported[place] = (unreported[place] ?? 0) + applied * share
    this.#lock.release()
  }

  /** Counts a request in; returns its place for `leave`, or undefined if so many run already. */
  enter(account: Account, most: number): number | undefined {
    if (!this.#lock.acquire(LOCK_MS)) return NOWHERE
    const { running, workers, elsewhere, terms } = this.#bytes
    const place = this.#places.of(account)
    const own = Math.max(1, Math.floor(most * (terms.share[0] ?? 1)))
    const free = own - runningIn(this.#bytes, place) - (elsewhere[place] ?? 0)
    const isAllowed = free - this.#held(place, free, 1) >= 1
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
    const { debt, pace, unreported, terms } = this.#bytes
    const owed = settle(this.#bytes, place, this.#now())
    const rateUnitMs = rate.perMs / rate.count
    const unitMs = rateUnitMs / (terms.share[0] ?? 1)
    // One unit may always be used; a charge of many may overdraw the bucket once.
    const depth = Math.max(burst, unitMs, terms.minBurst[0] ?? 0)
    const left = depth - owed
    const missing = unitMs + this.#held(place, left, unitMs) - left
    if (missing > FRACTION) return missing / (1 - (pace[place] ?? 0))
    debt[place] = owed + unitMs * cost
    unreported[place] = (unreported[place] ?? 0) + rateUnitMs * cost
    return 0
  }

  /** How much of what is left stays with the other gateways until they are heard again; never the last unit. */
  #held(place: number, left: number, unit: number): number {
    const { held, heldIn, terms } = this.#bytes
    const part = terms.part[0] ?? 1
    if (part === 1) return 0
    const round = terms.round[0] ?? 0
    if (heldIn[place] !== round) {
      heldIn[place] = round
      held[place] = Math.max(0, Math.min(left * (1 - part), left - unit))
    }
    return held[place] ?? 0
  }
}

/** The table's places, for whoever has its lock. */
export function limitPlaces(bytes: LimitBytes, now: () => number): AccountPlaces {
  return new AccountPlaces(bytes.owners, {
    // Running requests count most.
    debt: (place) => (runningIn(bytes, place) > 0 ? Infinity : settle(bytes, place, now())),
    clear: (place) => {
      bytes.debt[place] = bytes.pace[place] = bytes.unreported[place] = 0
      bytes.at[place] = now()
      bytes.heldIn[place] = (bytes.terms.round[0] ?? 0) - 1
      bytes.elsewhere[place] = 0
    },
  })
}

/** Refills the bucket up to now; returns what is still owed to it. */
export function settle({ debt, at, pace }: LimitBytes, place: number, now: number): number {
  const refilled = Math.max(0, now - (at[place] ?? 0)) * (1 - (pace[place] ?? 0))
  const owed = Math.max(0, (debt[place] ?? 0) - refilled)
  debt[place] = owed
  at[place] = now
  return owed
}

/** The account's requests that run, of all workers. */
export function runningIn({ running, workers }: LimitBytes, place: number): number {
  let sum = 0
  for (let worker = 0; worker < workers; worker++) sum += running[place * workers + worker] ?? 0
  return sum
}

/** Corrections leave no more than this to be owed; of a rate by the day, no more than a day. */
const MAX_DEBT_MS = 3_600_000
/** The place of a request that was not counted. */
const NOWHERE = -1
/** Times are sums of fractions: what is off by less than this is exact. */
const FRACTION = 1e-6
