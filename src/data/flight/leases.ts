/**
 * Coalesces loads across gateways: of several gateways that share a tier and miss the same rows at the same time, one asks
 * the backend. The gateway that gets a row's lease loads it; the others wait for the value to appear.
 *
 *   1. acquire, one round trip for all rows of the load
 *   2. granted → fetch, renewing the lease meanwhile; value → use it; held → ask again, at growing intervals
 *   3. a lease that ends without a value is granted to the first who asks again; who has waited for two holders
 *      in vain waits for no third one
 *
 * A tier that cannot be asked gives no leases: every gateway then loads at once. A holder that dies is noticed when its
 * lease expires. Nobody waits beyond his own deadline.
 */
import { randomBytes } from 'node:crypto'
import { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { Signal } from '../../lib/cancel.ts'
import { type Clock, systemClock } from '../../lib/clock.ts'
import type { StoreOptions } from '../cache/tiered.ts'
import type { GuardedLeases } from '../cache/tiers/guarded-leases.ts'
import { type LeaseAnswer, type LeaseWant, sha1Of } from '../cache/tiers/lease-tier.ts'

export interface LeasesOptions {
  readonly leases: GuardedLeases
  /** Milliseconds a lease lives without being renewed; default 10,000. */
  readonly ttlMs?: number
  readonly clock?: Clock
  readonly token?: () => string
}

/** A load that the opener of flights runs. */
export interface LeasedLoad {
  readonly digests: readonly Digest[]
  /** Aborted when nobody waits any more. */
  readonly signal: Signal
  /** Monotonic milliseconds after which nobody waits and no lease is renewed; may grow meanwhile. */
  readonly deadline: number
  /** Milliseconds the first request to the tier may take: what the lookup before it left of the tiers' time. */
  readonly budgetMs?: number
  /** Uses a value that has appeared; true where it answers the row. */
  readonly found: (digest: Digest, value: Uint8Array) => boolean
  /** Loads rows from the backend and stores each with what `holding` returns. Called once or more, for different rows. */
  readonly fetch: (digests: readonly Digest[], holding: Holding) => Promise<void>
}

/** The rights under which rows are fetched. */
export interface Holding {
  /** Options for `Tiered.store`: how this row's answer may be stored. To be called only for a row that is then stored. */
  storing(digest: Digest): StoreOptions
}

const TTL_MS = 10_000
const FIRST_POLL_MS = 10
const LAST_POLL_MS = 80
/** How many holders of one lease, one after the other, are waited for: the first, and one who took over. */
const MAX_HOLDERS = 2
/** How many unusable values of one row, one after the other, are put up with. */
const MAX_USELESS = 2
/** With less time the tier is not asked: no answer could arrive. */
const MIN_BUDGET_MS = 1

/** Whether leases are worth their round trip; `auto`: where the backend's median is above 20 ms or not known yet. */
export function leasesPay(mode: 'auto' | 'always' | 'never', medianMs: number | undefined): boolean {
  if (mode !== 'auto') return mode === 'always'
  return medianMs === undefined || medianMs > 20
}

export class Leases {
  readonly #leases: GuardedLeases
  readonly #ttlMs: number
  readonly #clock: Clock
  readonly #token: () => string

  constructor({ leases, ttlMs = TTL_MS, clock = systemClock, token = randomToken }: LeasesOptions) {
    this.#leases = leases
    this.#ttlMs = ttlMs
    this.#clock = clock
    this.#token = token
  }

  /** Milliseconds a request to the tier may take. */
  get readTimeout(): number {
    return this.#leases.readTimeout
  }

  /**
   * Resolves when every row has been found or fetched. Rejects with the first error of `fetch`, with the
   * signal's reason, or with `deadline`; what was already under way has ended by then.
   */
  async load(load: LeasedLoad): Promise<void> {
    const token = this.#token()
    const wanted = new Map(load.digests.map((digest) => [digest, new WantedRow(digest)]))
    const fetches: Promise<PromiseSettledResult<void>>[] = []
    let failure: unknown
    try {
      for (let turn = 0; ; turn++) {
        const round = await this.#ask(load, { token, wanted, isFirst: turn === 0 })
        if (round.fetch.size > 0) fetches.push(settled(this.#fetch(load, token, round.fetch)))
        if (wanted.size === 0) break
        if (!round.isUseless) await this.#pause(turn, load)
      }
    } catch (error) {
      failure = error
    }
    for (const fetch of await Promise.all(fetches)) if (fetch.status === 'rejected') failure = fetch.reason
    if (failure !== undefined) throw failure as Error
  }

  /** One round: acquires leases for the rows still wanted, uses values, and returns the rows to fetch now. */
  async #ask(
    { signal, found, budgetMs = this.#leases.readTimeout }: LeasedLoad,
    { token, wanted, isFirst }: { token: string; wanted: Map<Digest, WantedRow>; isFirst: boolean },
  ): Promise<{ readonly fetch: Map<Digest, Right>; readonly isUseless: boolean }> {
    const wants = [...wanted.values()]
    const budget = isFirst ? budgetMs : this.#leases.readTimeout
    const answers: readonly LeaseAnswer[] =
      budget < MIN_BUDGET_MS
        ? wants.map(() => ({ kind: 'none' }))
        : await this.#leases.acquire(wants, token, { ttlMs: this.#ttlMs, budgetMs: budget })
    const fetch = new Map<Digest, Right>()
    let isUseless = false
    for (const [i, want] of wants.entries()) {
      const step = want.step(answers[i] ?? { kind: 'none' }, found)
      if (step === 'again') isUseless = true
      else if (step !== 'wait') wanted.delete(want.digest)
      if (step === 'leased' || step === 'free' || step === 'barred') fetch.set(want.digest, step)
    }
    if (signal.aborted) {
      void this.#leases.release([...fetch.keys()], token)
      throw signal.reason
    }
    return { fetch, isUseless }
  }

  /** Fetches rows and renews their leases meanwhile; releases the leases of rows that were not stored. */
  async #fetch(load: LeasedLoad, token: string, rights: ReadonlyMap<Digest, Right>): Promise<void> {
    // A `none` may have been granted all the same, with a late answer: it is released with the rest.
    const unfilled = new Set([...rights].flatMap(([digest, right]) => (right === 'barred' ? [] : digest)))
    const release = (digests: readonly Digest[]) => void this.#leases.release(digests, token)
    const storing = (digest: Digest): StoreOptions => {
      const right = rights.get(digest)
      if (right === 'barred') return { memoryOnly: true }
      unfilled.delete(digest)
      return right === 'leased' ? { lease: { token, onUnwritten: () => release([digest]) } } : {}
    }
    const leased = [...rights].flatMap(([digest, right]) => (right === 'leased' ? digest : []))
    const stop = this.#renew(leased, token, load)
    try {
      await load.fetch([...rights.keys()], { storing })
    } finally {
      stop()
      if (unfilled.size > 0) release([...unfilled])
    }
  }

  #renew(digests: readonly Digest[], token: string, load: LeasedLoad): () => void {
    let held = digests
    let cancel = () => {}
    let isStopped = false
    const renew = async () => {
      const kept = await this.#leases.renew(held, token, this.#ttlMs)
      if (kept) held = held.filter((_, i) => kept[i] === true)
      next()
    }
    const next = () => {
      if (isStopped || held.length === 0 || this.#clock.now() >= load.deadline) return
      cancel = this.#clock.after(this.#ttlMs / 3, () => void renew())
    }
    next()
    return () => {
      isStopped = true
      cancel()
    }
  }

  /** Pauses longer from turn to turn; throws when the caller's time is up. */
  #pause(turn: number, { signal, deadline }: LeasedLoad): Promise<void> {
    const left = deadline - this.#clock.now()
    if (left <= 0) throw new GatewayError('deadline', 'another gateway was asking the backend for too long')
    return new Promise((resolve, reject) => {
      const ms = Math.min(FIRST_POLL_MS * 2 ** Math.min(turn, 10), LAST_POLL_MS, left)
      const leave = () => {
        cancel()
        reject(signal.reason)
      }
      const cancel = this.#clock.after(ms, () => {
        signal.removeEventListener('abort', leave)
        resolve()
      })
      signal.addEventListener('abort', leave, { once: true })
    })
  }
}

/** `leased`: may fill the tier. `free`: writes as usual, without a lease. `barred`: waited in vain, may not write to the tier. */
type Right = 'leased' | 'free' | 'barred'

/** One row that is neither found nor being fetched yet. */
class WantedRow implements LeaseWant {
  readonly digest: Digest
  not: string | undefined
  #useless = 0
  readonly #holders = new Set<string>()

  constructor(digest: Digest) {
    this.digest = digest
  }

  step(answer: LeaseAnswer, found: LeasedLoad['found']): Right | 'found' | 'again' | 'wait' {
    if (answer.kind === 'granted') return 'leased'
    if (answer.kind === 'none') return 'free'
    if (answer.kind === 'held') {
      this.#holders.add(answer.by)
      return this.#holders.size > MAX_HOLDERS ? 'barred' : 'wait'
    }
    if (found(this.digest, answer.value)) return 'found'
    // The value is stale or foreign: the next request counts it as absent.
    if (++this.#useless > MAX_USELESS) return 'free'
    this.not = sha1Of(answer.stored ?? answer.value)
    return 'again'
  }
}

function randomToken(): string {
  return randomBytes(16).toString('base64url')
}

async function settled(work: Promise<void>): Promise<PromiseSettledResult<void>> {
  const [result] = await Promise.allSettled([work])
  return result
}
