/**
 * Who waits for which pool at which gateway: told ten times a second with the limits, so that each gateway knows which part of
 * the pool's places is its own. A tenant that may use some backends only is left out: it takes the places that it finds free.
 */
import { type PlaceDemand, type PlaceRange, partsOf } from './gateway-parts.ts'
import { type PartTable, STALE_MS } from './pool-part.ts'
import { CLASSES, type ShareTable } from './share-table.ts'

export interface PeerDemandsParts {
  readonly shares: ShareTable
  readonly parts: PartTable
  /** The pool of each column, as a digest of its name. */
  readonly pools: Int32Array
  readonly now: () => number
}

/** What the gateways agree on besides the demands. */
export interface Agreed {
  /** The name of this gateway. */
  readonly gateway: string
  /** A time that is the same at all of them, in Unix milliseconds. */
  readonly now: number
}

/** A tenant that has waited here lately. */
interface WaitingTenant {
  readonly low: number
  waitedAt: number
  /** The rows it is served in a millisecond; smoothed. */
  rows: number
}

interface Usage {
  work: number
  /** Rows that are served in a millisecond, and places in use; smoothed. */
  rows: number
  inUse: number
}

/** Most tenants in one report. */
const MAX_TENANTS = 2_000
/** A tenant still counts this long after it has waited: it may wait again the next moment. */
const LATELY_MS = 500
/** Calls that had no use for a free place are taken to have none for so long. */
const USELESS_MS = 5_000
/** Of each new round in the rows of a tenant. */
const FRESH = 0.1
/** The same in what a place serves: of a gateway that has no place for seconds, what it served before them must count. */
const FRESH_RATE = 0.02
/** Numbers for a tenant in a report. */
const SIZE = 7

export class PeerDemands {
  readonly #parts: PeerDemandsParts
  readonly #waiters = new Map<number, WaitingTenant>()
  readonly #usages = new Map<number, Usage>()
  readonly #heard = new Map<string, { readonly at: number; readonly waiting: readonly number[] }>()
  #own: readonly number[] = []
  #lookedAt = 0

  constructor(parts: PeerDemandsParts) {
    this.#parts = parts
  }

  /** Some pool is divided between gateways. */
  get isDividing(): boolean {
    const now = this.#parts.now()
    return this.#parts.parts.agreedAt.some((at) => at > 0 && now - at < STALE_MS)
  }

  /**
   * Who waits here, as sevens of numbers: the two lanes of an account, the pool, class, weight, the most places it can use, and
   * the rows that a place serves in a millisecond. Undefined: nobody, and the others know that. Before `PeerShares.take`.
   */
  take(): readonly number[] | undefined {
    const before = this.#own
    const now = this.#parts.now()
    const elapsedMs = Math.max(1, now - this.#lookedAt)
    this.#lookedAt = now
    this.#look(now, elapsedMs)
    this.#own = this.#report(now, elapsedMs)
    return before.length > 0 || this.#own.length > 0 ? this.#own : undefined
  }

  /** Takes over who waits at another gateway. */
  hear(gateway: string, waiting: readonly number[]): void {
    this.#heard.set(gateway, { at: this.#parts.now(), waiting })
  }

  /** Divides the pools for which calls wait here and elsewhere. */
  agree({ gateway, now }: Agreed): void {
    const { parts, pools } = this.#parts
    const time = this.#parts.now()
    for (const [peer, { at }] of this.#heard) if (time - at > STALE_MS) this.#heard.delete(peer)
    const own = demandsOf(gateway, this.#own)
    const others = [...this.#heard].flatMap(([peer, { waiting }]) => demandsOf(peer, waiting))
    parts.offset[0] = now - time
    for (const [column, pool] of pools.entries()) {
      if (pool === 0) continue
      const isOfPool = (demand: PoolDemand) => demand.pool === pool >>> 0
      const [mine, theirs] = [own.filter(isOfPool), others.filter(isOfPool)]
      const places = parts.places[column] ?? 0
      const isShared = mine.length > 0 && theirs.length > 0 && places > 0 && places < Infinity
      this.#take(column, isShared ? partsOf([...mine, ...theirs], places).get(gateway) : undefined, time)
    }
  }

  /** Undefined: all places are this gateway's, as far as they are free. */
  #take(column: number, part: PlaceRange | undefined, time: number): void {
    const { from, until, agreedAt } = this.#parts.parts
    if (part) {
      from[column] = part.from
      until[column] = part.until
    }
    agreedAt[column] = part ? time : 0
  }

  /** Who waits, and what it was served since the last look. */
  #look(now: number, elapsedMs: number): void {
    const { owner, waiting, unreported, weight } = this.#parts.shares
    const workers = waiting.length / weight.length
    for (let at = 0; at < waiting.length; at++) {
      if (waiting[at] === 0) continue
      const account = Math.floor(at / workers)
      if (weight[account] === 0) continue
      const low = owner[2 * account] ?? 0
      const known = this.#waiters.get(account)
      if (known?.low === low) known.waitedAt = now
      else this.#waiters.set(account, { low, waitedAt: now, rows: 0 })
    }
    for (const [account, waiter] of this.#waiters) {
      const served = ((unreported[account] ?? 0) * (weight[account] ?? 0)) / elapsedMs
      waiter.rows += FRESH * (served - waiter.rows)
      if (now - waiter.waitedAt > LATELY_MS || owner[2 * account] !== waiter.low)
        this.#waiters.delete(account)
    }
  }

  #report(now: number, elapsedMs: number): readonly number[] {
    const { shares, parts, pools } = this.#parts
    const { owner, timeline, weight } = shares
    const rates = new Map<number, number>()
    const report: number[] = []
    for (const [account, { rows }] of this.#waiters) {
      if (report.length >= SIZE * MAX_TENANTS) break
      const line = timeline[account] ?? 0
      const column = Math.floor(line / CLASSES)
      const rate = rates.get(column) ?? this.#rate(column, elapsedMs)
      rates.set(column, rate)
      const isUseless = now - (parts.uselessAt[column] || -Infinity) < USELESS_MS
      const running = rate > 0 ? rows / rate : 0
      const most = Math.max(1, Math.ceil(running + (isUseless ? 0 : this.#waiting(account))))
      report.push(
        ...[owner[2 * account] ?? 0, owner[2 * account + 1] ?? 0, (pools[column] ?? 0) >>> 0],
        ...[line % CLASSES, weight[account] ?? 0, most, rounded(rate)],
      )
    }
    for (const column of this.#usages.keys()) if (!rates.has(column)) this.#usages.delete(column)
    return report
  }

  #waiting(account: number): number {
    const { waiting, weight } = this.#parts.shares
    const workers = waiting.length / weight.length
    let calls = 0
    for (let at = account * workers; at < (account + 1) * workers; at++) calls += waiting[at] ?? 0
    return calls
  }

  /** The rows that a place of the pool serves in a millisecond, of the last seconds; 0: not known. */
  #rate(column: number, elapsedMs: number): number {
    const work = this.#parts.shares.work[column] ?? 0
    const usage = this.#usages.get(column) ?? { work, rows: 0, inUse: 0 }
    this.#usages.set(column, usage)
    usage.rows += FRESH_RATE * ((work - usage.work) / elapsedMs - usage.rows)
    usage.inUse += FRESH_RATE * ((this.#parts.parts.inUse[column] ?? 0) - usage.inUse)
    usage.work = work
    return usage.inUse > 0 ? usage.rows / usage.inUse : 0
  }
}

interface PoolDemand extends PlaceDemand {
  /** A digest of its name. */
  readonly pool: number
}

/** The demands of a report; what makes no sense is left out. */
function demandsOf(gateway: string, waiting: readonly number[]): PoolDemand[] {
  const demands: PoolDemand[] = []
  for (let i = 0; i + SIZE <= waiting.length; i += SIZE) {
    const [low, high, pool = 0, priority = 0, weight = 0, most = 0, rate = 0] = waiting.slice(i, i + SIZE)
    if (weight > 0 && most > 0 && Number.isInteger(priority) && priority < CLASSES)
      demands.push({ gateway, tenant: `${low} ${high}`, pool, priority, weight, most, rate })
  }
  return demands
}

function rounded(value: number): number {
  return Number(value.toPrecision(4))
}
