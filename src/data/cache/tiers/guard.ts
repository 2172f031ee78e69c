/**
 * The guard around a shared tier: deadlines and circuit breakers. A tier's failure is never a call's failure. Whatever the
 * tier does, an operation here settles in time and does not reject, and while the breaker is open it costs nothing.
 */
import type { Digest } from '../../../core/key.ts'
import { type Log, silentLog } from '../../../core/log.ts'
import { type Clock, systemClock } from '../../../lib/clock.ts'
import { Breaker, type BreakerOutcome, type BreakerState } from './breaker.ts'
import { ConnectionLog } from './connection-log.ts'
import { type GuardedLeases, guardLeases } from './guarded-leases.ts'
import { createLookupBatcher, type LookupBatcher } from './lookup-batcher.ts'
import { isLate, Late } from './remote.ts'
import { type Hints, isAway, type Tier, Unfit, Unwritable } from './tier.ts'
import type { TierObserver, TierOp, TierOutcome } from './tier-observer.ts'

export interface GuardOptions {
  /** Milliseconds a lookup or a claim may take; the tier's own timeout should be the same. Default 25. */
  readonly readTimeout?: number
  /** Milliseconds any other operation may take. Default 250. */
  readonly writeTimeout?: number
  /** Larger values are not sent. */
  readonly maxEntryBytes?: number
  readonly clock?: Clock
  readonly random?: () => number
  readonly log?: Log
  readonly observer?: TierObserver
  /** Milliseconds, since some fixed time, during which this thread was stalled and could not read: not the tier's fault. */
  readonly stalled?: (now: number) => number
}

/** A tier that cannot fail: nothing rejects, and a result value says what could not be done. */
export interface GuardedTier {
  readonly name: string
  readonly readTimeout: number
  /** The breaker of lookups; `open`, too, while there is no connection: nothing is asked then. */
  readonly state: BreakerState
  /** The breaker of writes: a server that is full, or a replica, can still be read. */
  readonly writes: BreakerState
  /** See `Tier.since`; -Infinity where the tier does not say. */
  readonly since: number
  /** Whether a server has answered and its greeting is still under way. */
  readonly isDeciding: boolean
  /** Why the tier is not asked, for people; undefined while it is. */
  readonly trouble: string | undefined
  /** Why the server refuses us until somebody changes a setting; undefined while it does not. */
  readonly refusal: string | undefined
  /** Whether a value of this size would be sent to the tier now. */
  takes(digest: Digest, bytes: number): boolean
  /** The values found; undefined for the other keys, and for all where the tier failed. `budgetMs` shortens the deadline. */
  getMany(digests: readonly Digest[], budgetMs?: number): Promise<(Uint8Array | undefined)[]>
  /** The same for one key, without a promise: `done` is called later, in time, whatever the tier does. */
  getOne(digest: Digest, budgetMs: number, done: (value: Uint8Array | undefined) => void): void
  /** False: not stored. */
  set(digest: Digest, value: Uint8Array, ttlMs: number): Promise<boolean>
  delete(digest: Digest): Promise<boolean>
  /** Undefined: the tier could not be asked. */
  claim(name: string, value: string): Promise<string | undefined>
  /** Undefined: the tier could not be asked. */
  facts(names: readonly string[]): Promise<(string | undefined)[] | undefined>
  publish(name: string, value: string): Promise<boolean>
  /** Present where the tier has leases. */
  readonly leases?: GuardedLeases
  /** Present where the tier passes hints on. */
  readonly hints?: Hints
  close(): Promise<void>
}

interface GuardedCall<T> {
  readonly op: TierOp
  readonly ms: number
  readonly run: () => Promise<T>
  /** The outcome that the observer gets for a value. */
  readonly outcomeOf?: (value: T) => TierOutcome
}

/** The most keys of one operation; more keys make several operations. */
const MAX_KEYS = 512

/** A lookup whose time is this much shorter than the full time gets a batch of its own. */
const ALIKE_MS = 1

/** A lookup that took this share of its time is slow. Nobody waits for writes, so slow writes do not count. */
const SLOW = 0.8

/** Operations that the breaker of reads judges. A claim is one: facts can still be read where nothing can be written. */
const READS: ReadonlySet<TierOp> = new Set<TierOp>(['get', 'facts', 'claim', 'acquire'])
/** Operations that a call waits for. */
const IN_TIME: ReadonlySet<TierOp> = new Set<TierOp>(['get', 'claim', 'acquire'])

/** After a value did not fit, values of its size or more are not tried for this long. */
const UNFIT_MS = 60_000

export function guardTier(tier: Tier, options: GuardOptions = {}): GuardedTier {
  return new Guard(tier, options)
}

class Guard implements GuardedTier {
  readonly name: string
  readonly readTimeout: number
  readonly leases?: GuardedLeases
  readonly hints?: Hints
  readonly #tier: Tier
  readonly #writeTimeout: number
  readonly #maxEntryBytes: number
  readonly #clock: Clock
  readonly #observer: TierObserver | undefined
  readonly #log: Log
  readonly #stalled: (now: number) => number
  readonly #reads: Breaker
  readonly #writes: Breaker
  readonly #batcher: LookupBatcher<Digest, Uint8Array | undefined>
  readonly #connection: ConnectionLog
  #lastError = ''
  /** Values of this size or more did not fit lately, and are not tried until then. */
  #unfit = { bytes: Number.POSITIVE_INFINITY, until: 0 }

  constructor(tier: Tier, options: GuardOptions) {
    const { clock = systemClock, random = Math.random, log = silentLog } = options
    this.name = tier.name
    this.readTimeout = options.readTimeout ?? 25
    this.#tier = tier
    this.#connection = new ConnectionLog(tier, log)
    this.#writeTimeout = options.writeTimeout ?? 250
    this.#maxEntryBytes = options.maxEntryBytes ?? Number.POSITIVE_INFINITY
    this.#clock = clock
    this.#observer = options.observer
    this.#log = log
    this.#stalled = options.stalled ?? (() => 0)
    this.#reads = this.#breaker('reads', random)
    this.#writes = this.#breaker('writes', random)
    this.#batcher = this.#newBatcher(this.readTimeout)
    if (tier.hints) this.hints = tier.hints
    if (tier.leases) {
      this.leases = guardLeases(tier.leases, {
        attempt: (attempt) => this.#attempt(attempt),
        readTimeout: this.readTimeout,
        writeTimeout: this.#writeTimeout,
        maxEntryBytes: this.#maxEntryBytes,
      })
    }
  }

  get state(): BreakerState {
    return this.#isConnected() ? this.#reads.state : 'open'
  }

  get writes(): BreakerState {
    return this.#isConnected() ? this.#writes.state : 'open'
  }

  get since(): number {
    return this.#tier.since ?? Number.NEGATIVE_INFINITY
  }

  get isDeciding(): boolean {
    return this.#tier.isDeciding ?? false
  }

  get trouble(): string | undefined {
    if (this.#tier.connected !== false) return undefined
    return this.#tier.refusal ?? this.#tier.trouble ?? 'not connected'
  }

  get refusal(): string | undefined {
    return this.#tier.refusal
  }

  takes(digest: Digest, bytes: number): boolean {
    if (this.#tier.connected === false || bytes > this.#maxEntryBytes) return false
    if (this.#tier.takes?.(digest, bytes) === false) return false
    if (bytes >= this.#unfit.bytes && this.#clock.now() < this.#unfit.until) return false
    return !this.#writes.isHeld
  }

  getMany(digests: readonly Digest[], budgetMs = this.readTimeout): Promise<(Uint8Array | undefined)[]> {
    return this.#batcherFor(budgetMs).many(digests)
  }

  getOne(digest: Digest, budgetMs: number, done: (value: Uint8Array | undefined) => void): void {
    this.#batcherFor(budgetMs).one(digest, done)
  }

  /** Lookups of one turn are batched under one deadline; a lookup with less time is sent alone. */
  #batcherFor(budgetMs: number): LookupBatcher<Digest, Uint8Array | undefined> {
    return budgetMs > this.readTimeout - ALIKE_MS ? this.#batcher : this.#newBatcher(budgetMs)
  }

  #newBatcher(ms: number): LookupBatcher<Digest, Uint8Array | undefined> {
    return createLookupBatcher({ max: MAX_KEYS, fetch: (digests) => this.#getMany(digests, ms) })
  }

  async #getMany(digests: readonly Digest[], ms: number): Promise<(Uint8Array | undefined)[]> {
    const found = await this.#attempt({
      op: 'get',
      ms,
      run: async () => fitting(await this.#tier.getMany(digests), digests.length),
      outcomeOf: (values) => (values.some((value) => value) ? 'hit' : 'miss'),
    })
    return found?.value ?? digests.map(() => undefined)
  }

  async set(digest: Digest, value: Uint8Array, ttlMs: number): Promise<boolean> {
    if (!this.takes(digest, value.length)) {
      this.#observer?.tier(this.name, 'set', 'skipped', 0)
      return false
    }
    return this.#done('set', async () => {
      try {
        await this.#tier.set(digest, value, ttlMs)
      } catch (error) {
        if (error instanceof Unfit) this.#unfit = { bytes: value.length, until: this.#clock.now() + UNFIT_MS }
        throw error
      }
    })
  }

  delete(digest: Digest): Promise<boolean> {
    return this.#done('delete', () => this.#tier.delete(digest))
  }

  async claim(name: string, value: string): Promise<string | undefined> {
    // A call waits for it, so it has no longer than a lookup.
    const run = () => this.#tier.claim(name, value)
    return (await this.#attempt({ op: 'claim', ms: this.readTimeout, run }))?.value
  }

  async facts(names: readonly string[]): Promise<(string | undefined)[] | undefined> {
    const run = () => this.#tier.facts(names)
    return (await this.#attempt({ op: 'facts', ms: this.#writeTimeout, run }))?.value
  }

  publish(name: string, value: string): Promise<boolean> {
    return this.#done('publish', () => this.#tier.publish(name, value))
  }

  async close(): Promise<void> {
    await this.#bounded(this.#writeTimeout, () => this.#tier.close()).catch(() => {})
  }

  async #done(op: TierOp, run: () => Promise<void>): Promise<boolean> {
    return (await this.#attempt({ op, ms: this.#writeTimeout, run })) !== undefined
  }

  async #attempt<T>({ op, ms, run, outcomeOf }: GuardedCall<T>): Promise<{ readonly value: T } | undefined> {
    const breaker = READS.has(op) ? this.#reads : this.#writes
    // A lost connection is noticed at no cost, so the breaker does not count it: the tier is back as soon as it reconnects.
    const ticket = this.#isConnected() ? breaker.admit() : undefined
    if (ticket === undefined) {
      this.#observer?.tier(this.name, op, 'skipped', 0)
      return undefined
    }
    const start = this.#clock.now()
    const stalled = this.#stalled(start)
    const full = IN_TIME.has(op) ? this.readTimeout : this.#writeTimeout
    try {
      const value = await this.#bounded(ms, run)
      const end = this.#clock.now()
      // Time during which this thread was stalled does not count: the answer may have waited in the socket.
      const took = end - start - (this.#stalled(end) - stalled)
      breaker.record(ticket, IN_TIME.has(op) && took > full * SLOW ? 'slow' : 'ok')
      this.#observer?.tier(this.name, op, outcomeOf?.(value) ?? 'ok', end - start)
      return { value }
    } catch (error) {
      const end = this.#clock.now()
      this.#lastError = error instanceof Error ? error.message : String(error)
      const isCut = isLate(error) && (ms < full || this.#stalled(end) - stalled > ms / 2)
      breaker.record(ticket, isCut ? 'cut' : this.#verdict(error, breaker))
      this.#observer?.tier(this.name, op, 'error', end - start)
      return undefined
    }
  }

  /** How an error counts: a tier that refuses writes has answered, and one of its servers that is away costs nothing. */
  #verdict(error: unknown, breaker: Breaker): BreakerOutcome {
    if (isAway(error)) return 'ok'
    const isWell = error instanceof Unfit || (error instanceof Unwritable && breaker === this.#reads)
    return isWell ? 'ok' : 'error'
  }

  #bounded<T>(ms: number, run: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      // What arrived while the event loop was busy is read before the time is declared to be up.
      const cancel = this.#clock.after(ms, () =>
        setImmediate(() => reject(new Late(`no answer within ${ms} ms`))),
      )
      const settle = (act: () => void) => {
        cancel()
        act()
      }
      start(run).then(
        (value) => settle(() => resolve(value)),
        (error: unknown) => settle(() => reject(error instanceof Error ? error : new Error(String(error)))),
      )
    })
  }

  #isConnected(): boolean {
    return this.#connection.observe()
  }

  #breaker(what: 'reads' | 'writes', random: () => number): Breaker {
    let wasOpen = false
    return new Breaker({
      clock: this.#clock,
      random,
      onChange: (state, reason, holdMs) => {
        if (state === 'closed') {
          wasOpen = false
          this.#log.info('tier.closed', { tier: this.name, what, reason })
        } else if (state === 'open' && !wasOpen) {
          // Logged once: a tier that stays away for an hour makes one line, not one for every probe.
          wasOpen = true
          const error = this.#lastError
          this.#log.warn('tier.open', { tier: this.name, what, reason, holdMs: Math.round(holdMs), error })
        }
      },
    })
  }
}

/** Turns an exception that a tier throws synchronously into a rejection. */
async function start<T>(run: () => Promise<T>): Promise<T> {
  return run()
}

function fitting(values: (Uint8Array | undefined)[], count: number): (Uint8Array | undefined)[] {
  const right = Array.isArray(values) && values.length === count
  if (right) {
    // Not `map`: a hole in the array counts as undefined.
    const fit = new Array<Uint8Array | undefined>(count)
    for (let i = 0; i < count; i++) fit[i] = values[i] instanceof Uint8Array ? values[i] : undefined
    return fit
  }
  throw new Error('the answer does not fit the keys')
}
