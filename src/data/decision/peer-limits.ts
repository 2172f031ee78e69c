/**
 * The limits of tenants over gateways that tell each other ten times a second what they have used; no call waits for that.
 *
 * - What the others report is owed to the bucket as well. So over time all together get the rate, however much any of them
 *   did not know.
 * - Between two reports the others are expected to go on as before: the bucket refills by what they leave (`pace`). What they
 *   then report is owed less what was expected. A gateway always expects to get as much as each of those that are busy, so
 *   that one that begins is not shut out.
 * - What is in a bucket is there for all: each gateway uses no more than its part of it until it hears of the others.
 * - Gateways that began at different times may differ in what they think is owed. Nothing else would ever change that, and who
 *   thinks that more is owed would get nothing; so each goes a part of the way towards the others.
 *
 * Without contact each has its part of every limit, by the number of gateways last known.
 */
import type { LimitUse, PeerReport } from '../../core/limit-report.ts'
import { Lock } from '../../lib/lock.ts'
import type { AccountPlaces } from './account-places.ts'
import { type LimitBytes, type LimitViewer, LOCK_MS, limitPlaces, runningIn, settle } from './limit-table.ts'

/** What is known of an account's use by others. */
interface PeerUse {
  readonly high: number
  readonly low: number
  /** The part of the rate that they use; smoothed. */
  rate: number
  /** How many of them use it; smoothed. */
  users: number
  /** What their newest reports say: how much they used, how much they think is owed, in sum, and how many reports that is. */
  usedMs: number
  owedMs: number
  reports: number
  /** Requests that run there. */
  running: number
}

/** Most accounts in one report; what is left over is in the next. */
const MAX_ACCOUNTS = 2_000
/** What another gateway has used by now is known here after its next report and our next look. */
const ROUNDS_TO_HEAR_ALL = 2
/** Of each new report in what is known, where it is more or less; the rest is what was known before. */
const RISING = 0.25
const FALLING = 0.05
/** Of the difference between what others think is owed and what is thought here, a part is made up for in each round. */
const TOWARDS = 0.1
/** A part of a rate that is as good as none. */
const NOTHING = 1e-3
/** Two reports of each gateway: a smaller bucket would be full before what was used is known. */
const MIN_BURST_MS = 200
/** After this long the running requests of a gateway that has said nothing more have ended. */
const STALE_MS = 1_000

export class PeerLimits {
  readonly #bytes: LimitBytes
  readonly #lock: Lock
  readonly #now: () => number
  readonly #places: AccountPlaces
  readonly #uses = new Map<string, PeerUse>()
  readonly #running = new Map<string, { readonly at: number; readonly counts: readonly number[] }>()
  #cursor = 0
  #heardAt = 0
  #gateways = 1
  #rounds = 0
  #hasReportedRunning = false

  /** In the thread of a worker; under its number, since a thread waits for no lock of its own. */
  constructor(bytes: LimitBytes, { worker, now }: LimitViewer) {
    this.#bytes = bytes
    this.#lock = new Lock(bytes.lock, 0, worker + 1)
    this.#now = now
    this.#places = limitPlaces(bytes, now)
  }

  /** Takes what was used here since the last call; undefined: nothing that the others do not know. */
  take(): LimitUse | undefined {
    const { unreported, owners } = this.#bytes
    const places = unreported.length
    const [used, running]: [number[], number[]] = [[], []]
    let looked = 0
    for (; looked < places && used.length < 4 * MAX_ACCOUNTS; looked++) {
      const place = (this.#cursor + looked) % places
      if (owners[2 * place] === 0) continue
      if ((unreported[place] ?? 0) > 0) this.#takeUsed(place, used)
      const calls = runningIn(this.#bytes, place)
      if (calls > 0 && running.length < 3 * MAX_ACCOUNTS) running.push(...this.#lanes(place), calls)
    }
    this.#cursor = (this.#cursor + looked) % places
    const isWorth = used.length > 0 || running.length > 0 || this.#hasReportedRunning
    this.#hasReportedRunning = running.length > 0
    return isWorth ? { used, running } : undefined
  }

  /** Takes over the number of gateways, with this one, and what the others have reported since the last call. */
  hear(gateways: number, reports: readonly (LimitUse & Pick<PeerReport, 'gateway'>)[]): void {
    const now = this.#now()
    const elapsedMs = Math.max(1, now - this.#heardAt)
    this.#heardAt = now
    for (const use of this.#uses.values()) use.usedMs = use.reports = use.owedMs = use.running = 0
    for (const { gateway, used, running } of reports) {
      this.#running.set(gateway, { at: now, counts: running })
      for (let i = 0; i + 3 < used.length; i += 4) {
        const use = this.#use(used, i)
        use.usedMs += used[i + 2] ?? 0
        use.owedMs += used[i + 3] ?? 0
        use.reports++
      }
    }
    this.#countRunning(now)
    for (const [key, use] of this.#uses) if (!this.#apply(use, elapsedMs)) this.#uses.delete(key)
    this.#agree(gateways, { share: 1, part: 1 / gateways, minBurst: gateways > 1 ? MIN_BURST_MS : 0 })
    this.#rounds++
    if (this.#rounds % ROUNDS_TO_HEAR_ALL === 0) this.#beginRound()
  }

  /** The others are heard no more, or not yet: this gateway has its part of each limit. Returns that part. */
  part(): number {
    for (const use of this.#uses.values()) this.#forget(use)
    this.#uses.clear()
    this.#running.clear()
    this.#agree(this.#gateways, { share: 1 / this.#gateways, part: 1, minBurst: 0 })
    this.#beginRound()
    return 1 / this.#gateways
  }

  /** They are heard again. What was used meanwhile was each one's own part, and is owed by nobody else. */
  rejoin(gateways: number): void {
    this.#bytes.unreported.fill(0)
    this.#heardAt = this.#now()
    this.hear(gateways, [])
  }

  #agree(gateways: number, agreed: { share: number; part: number; minBurst: number }): void {
    const { share, part, minBurst } = this.#bytes.terms
    this.#gateways = gateways
    share[0] = agreed.share
    part[0] = agreed.part
    minBurst[0] = agreed.minBurst
  }

  #beginRound(): void {
    Atomics.add(this.#bytes.terms.round, 0, 1)
  }

  #takeUsed(place: number, used: number[]): void {
    if (!this.#lock.acquire(LOCK_MS)) return
    const { unreported } = this.#bytes
    const owed = settle(this.#bytes, place, this.#now())
    used.push(...this.#lanes(place), rounded(unreported[place] ?? 0), rounded(owed))
    unreported[place] = 0
    this.#lock.release()
  }

  #lanes(place: number): [number, number] {
    const { owners } = this.#bytes
    return [owners[2 * place] ?? 0, owners[2 * place + 1] ?? 0]
  }

  #countRunning(now: number): void {
    for (const [gateway, { at, counts }] of this.#running) {
      if (now - at > STALE_MS) this.#running.delete(gateway)
      else for (let i = 0; i + 2 < counts.length; i += 3) this.#use(counts, i).running += counts[i + 2] ?? 0
    }
  }

  /** What is known of the account whose lanes begin there. */
  #use(list: readonly number[], at: number): PeerUse {
    // As of every account, the first lane is odd.
    const [high, low] = [(list[at] ?? 0) | 1, (list[at + 1] ?? 0) | 0]
    const key = `${high} ${low}`
    const known = this.#uses.get(key)
    if (known) return known
    const use = { high, low, rate: 0, users: 0, usedMs: 0, owedMs: 0, reports: 0, running: 0 }
    this.#uses.set(key, use)
    return use
  }

  /** Returns false where nothing is known of the account any more. */
  #apply(use: PeerUse, elapsedMs: number): boolean {
    if (!this.#lock.acquire(LOCK_MS)) return true
    const { debt, pace, held, elsewhere, terms } = this.#bytes
    const { usedMs, owedMs, reports, running } = use
    const place = this.#places.of(use)
    const owed = settle(this.#bytes, place, this.#now())
    const apart = reports === 0 ? 0 : owedMs / reports - owed
    const spared = (pace[place] ?? 0) * elapsedMs - usedMs
    debt[place] = Math.max(0, owed - spared + TOWARDS * apart)
    // What the others have left is there for all, like everything in the bucket.
    held[place] = (held[place] ?? 0) + Math.max(0, spared) * (1 - (terms.part[0] ?? 1))
    use.rate = smoothed(use.rate, usedMs / elapsedMs)
    use.users = smoothed(use.users, reports)
    const isOver = usedMs === 0 && use.rate < NOTHING
    pace[place] = isOver ? 0 : Math.min(use.rate, use.users / (1 + use.users))
    elsewhere[place] = running
    this.#lock.release()
    return !isOver || running > 0
  }

  #forget(use: PeerUse): void {
    if (!this.#lock.acquire(LOCK_MS)) return
    const place = this.#places.of(use)
    settle(this.#bytes, place, this.#now())
    this.#bytes.pace[place] = this.#bytes.elsewhere[place] = 0
    this.#lock.release()
  }
}

/** Follows what rises faster than what falls: gateways that hold back for a moment go on together. */
function smoothed(before: number, now: number): number {
  return before + (now > before ? RISING : FALLING) * (now - before)
}

/** To a microsecond. */
function rounded(ms: number): number {
  return Math.round(ms * 1e3) / 1e3
}
