/**
 * What tenants have used of their quotas in this day or month, in memory that all workers of the process share. The counts
 * themselves are in the store that gateways share; here is what was known of them a tenth of a second ago, and what was
 * charged since. Days and months are those of the store's clock, so that a clock that is set changes nothing.
 */
import type { QuotaUse } from '../../core/limit-report.ts'
import { type CalendarUnit, type Period, periodOf } from '../../lib/calendar.ts'
import { freeLock, isHeldBy, Lock } from '../../lib/lock.ts'
import type { Quota } from '../../lib/rate.ts'
import { type Account, AccountPlaces, PLACES } from './account-places.ts'
import { type LimitViewer, LOCK_MS, type SharingTerms } from './limit-table.ts'

/** As plain data for `postMessage`. Each place is one account's. */
export interface QuotaBytes {
  readonly lock: Int32Array
  readonly owners: Int32Array
  /** The period that is counted: 1 for days or 2 for months, and its number. */
  readonly unit: Int32Array
  readonly period: Int32Array
  /** What all gateways had used when the store was last asked. */
  readonly known: Float64Array
  /** What was charged here since. */
  readonly unsent: Float64Array
  /**
   * What running calls may take, a number for each place and worker. The store is not told of it: a gateway that is killed leaves
   * nothing reserved, and what the store counts never falls.
   */
  readonly reserved: Float64Array
  readonly workers: number
  /** 1: it was asked for since the store was. */
  readonly asked: Int32Array
  /** One number: the Unix time at the monotonic time 0, by the store's clock as soon as it was asked. */
  readonly epoch: Float64Array
}

const UNITS: readonly CalendarUnit[] = ['day', 'month']
/** Most quotas of one request to the store. */
const MAX_QUOTAS = 1_000

/** `epoch`: the Unix time at the monotonic time 0, by this machine's clock. */
export function allocateQuotas(epoch: number, { workers = 1, places = PLACES } = {}): QuotaBytes {
  const words = (length: number) => new Int32Array(new SharedArrayBuffer(length * 4))
  const floats = (length: number) => new Float64Array(new SharedArrayBuffer(length * 8))
  return {
    lock: words(1),
    owners: words(places * 2),
    unit: words(places),
    period: words(places),
    known: floats(places),
    unsent: floats(places),
    reserved: floats(places * workers),
    workers,
    asked: words(places),
    epoch: floats(1).fill(epoch),
  }
}

/** Called after a worker has ended: its calls run no more, and what they have taken is not known. */
export function forgetQuotas({ lock, reserved, workers }: QuotaBytes, worker: number): void {
  for (let at = worker; at < reserved.length; at += workers) reserved[at] = 0
  if (isHeldBy(lock, 0, worker + 1)) freeLock(lock, 0)
}

export class QuotaTable {
  readonly #bytes: QuotaBytes
  readonly #terms: SharingTerms
  readonly #worker: number
  readonly #lock: Lock
  readonly #now: () => number
  readonly #places: AccountPlaces
  readonly #periods = new Map<CalendarUnit, Period>()
  #cursor = 0

  constructor(bytes: QuotaBytes, terms: SharingTerms, { worker, now }: LimitViewer) {
    this.#bytes = bytes
    this.#terms = terms
    this.#worker = worker
    this.#lock = new Lock(bytes.lock, 0, worker + 1)
    this.#now = now
    this.#places = new AccountPlaces(bytes.owners, {
      // What was not sent would be lost; everything else the store knows.
      debt: (place) => Math.abs(bytes.unsent[place] ?? 0) + this.#reservedIn(place),
      clear: (place) => {
        bytes.unit[place] = 0
        bytes.reserved.fill(0, place * bytes.workers, (place + 1) * bytes.workers)
      },
    })
  }

  /**
   * Charges the account; returns the milliseconds until it may ask again, 0 if it was charged. A charge may overdraw the quota
   * once. A negative cost gives back what was charged and not used.
   */
  charge(account: Account, { count, per }: Quota, cost: number): number {
    const wall = this.#wall()
    const period = this.period(per, wall)
    if (!this.#lock.acquire(LOCK_MS)) return 0
    const { known, unsent, asked } = this.#bytes
    const place = this.#place(account, UNITS.indexOf(per) + 1, period.number)
    asked[place] = 1
    const used = unsent[place] ?? 0
    const left = (count - (known[place] ?? 0)) * (this.#terms.share[0] ?? 1) - used
    const isCharged = cost < 0 || left > 0
    if (isCharged) unsent[place] = used + cost
    this.#lock.release()
    return isCharged ? 0 : period.until - wall
  }

  /**
   * Reserves what a call may take; returns the milliseconds until it may ask again, 0 if it was reserved. A reservation may exceed
   * what is left, like a charge.
   */
  reserve(account: Account, { count, per }: Quota, cost: number): number {
    const wall = this.#wall()
    const period = this.period(per, wall)
    if (!this.#lock.acquire(LOCK_MS)) return 0
    const { known, unsent, asked, reserved, workers } = this.#bytes
    const place = this.#place(account, UNITS.indexOf(per) + 1, period.number)
    asked[place] = 1
    const used = (unsent[place] ?? 0) + this.#reservedIn(place)
    const isReserved = (count - (known[place] ?? 0)) * (this.#terms.share[0] ?? 1) - used > 0
    const at = place * workers + this.#worker
    if (isReserved) reserved[at] = (reserved[at] ?? 0) + cost
    this.#lock.release()
    return isReserved ? 0 : period.until - wall
  }

  /** Charges what was used in place of what was reserved, in the period in which the call has ended; no more than a whole quota. */
  settle(
    account: Account,
    { count, per }: Quota,
    { cost, used }: { readonly cost: number; readonly used: number },
  ): void {
    const { number } = this.period(per)
    if (!this.#lock.acquire(LOCK_MS)) return
    const { unsent, asked, reserved, workers } = this.#bytes
    const place = this.#place(account, UNITS.indexOf(per) + 1, number)
    const at = place * workers + this.#worker
    reserved[at] = Math.max(0, (reserved[at] ?? 0) - cost)
    unsent[place] = (unsent[place] ?? 0) + Math.min(used, count)
    asked[place] = 1
    this.#lock.release()
  }

  /** The present day or month. */
  period(unit: CalendarUnit, wall = this.#wall()): Period {
    const known = this.#periods.get(unit)
    if (known && wall >= known.from && wall < known.until) return known
    const period = periodOf(unit, wall)
    this.#periods.set(unit, period)
    return period
  }

  /** What is to be told to the store, or asked of it. It is counted as unsent until `counted`. */
  take(): QuotaUse[] {
    const { asked, unit, period, unsent, known } = this.#bytes
    const uses: QuotaUse[] = []
    let looked = 0
    for (; looked < asked.length && uses.length < MAX_QUOTAS; looked++) {
      const place = (this.#cursor + looked) % asked.length
      if (asked[place] !== 1 || !this.#lock.acquire(LOCK_MS)) continue
      asked[place] = 0
      const owner = this.#places.owner(place)
      const per = UNITS[(unit[place] ?? 0) - 1]
      if (owner && per) {
        const { name, until } = periodNumbered(per, period[place] ?? 0)
        uses.push({ ...owner, period: name, until, used: unsent[place] ?? 0, known: known[place] ?? 0 })
      }
      this.#lock.release()
    }
    this.#cursor = (this.#cursor + looked) % asked.length
    return uses
  }

  /** Takes over what all have used of the quotas that were taken, and the store's time. */
  counted(uses: readonly QuotaUse[], totals: readonly number[], now: number): void {
    this.#bytes.epoch[0] = now - this.#now()
    uses.forEach((use, i) => this.#count(use, totals[i] ?? 0))
  }

  #count(use: QuotaUse, total: number): void {
    if (!this.#lock.acquire(LOCK_MS)) return
    const { unit, period, known, unsent } = this.#bytes
    const place = this.#places.of(use)
    const per = UNITS[(unit[place] ?? 0) - 1]
    if (per && periodNumbered(per, period[place] ?? 0).name === use.period) {
      known[place] = total
      unsent[place] = (unsent[place] ?? 0) - use.used
    }
    this.#lock.release()
  }

  #reservedIn(place: number): number {
    const { reserved, workers } = this.#bytes
    let sum = 0
    for (let at = place * workers; at < (place + 1) * workers; at++) sum += reserved[at] ?? 0
    return sum
  }

  #place(account: Account, unit: number, number: number): number {
    const { unit: units, period, known, unsent } = this.#bytes
    const place = this.#places.of(account)
    if (units[place] !== unit || period[place] !== number) {
      units[place] = unit
      period[place] = number
      known[place] = unsent[place] = 0
    }
    return place
  }

  #wall(): number {
    return (this.#bytes.epoch[0] ?? 0) + this.#now()
  }
}

function periodNumbered(unit: CalendarUnit, number: number): Period {
  return periodOf(unit, unit === 'day' ? number * 86_400_000 : Date.UTC(1970, number))
}
