/**
 * The tiered cache as the pipeline sees it: process memory, then the shared tiers in their order.
 *
 * `peek` reads memory, without a promise. `lookup` asks the tiers, one round trip each for the keys still missing, within
 * one deadline for all of them, and fills the faster tiers with what it found. Every copy keeps the time the answer was
 * made and its ttl, so no copy outlives the first. `store` puts the entry in memory at once and writes to the tiers behind
 * the answer. Nothing here rejects or throws.
 */
import type { Digest } from '../../core/key.ts'
import { type Clock, systemClock } from '../../lib/clock.ts'
import { decode, type Entry, encode, lifeMs } from './entry.ts'
import { Fence } from './fence.ts'
import { areFresh } from './fresh.ts'
import type { Memory } from './memory/memory.ts'
import type { GuardedTier } from './tiers/guard.ts'
import type { GuardedLeases } from './tiers/guarded-leases.ts'
import { TierFacts } from './tiers/tier-facts.ts'
import type { TieredStats } from './tiers/tier-stats.ts'
import { type Leasehold, WriteQueue, type WriteQueueOptions } from './tiers/write-queue.ts'

export interface CacheHit {
  readonly entry: Entry
  /** The name of the tier it came from. */
  readonly tier: string
}

export interface StoreOptions {
  /** The entry is not written to shared tiers. */
  readonly memoryOnly?: boolean
  /** The lease under which the tier of `leases` is to take it. */
  readonly lease?: Leasehold
  /** `mark()` when the load began: a key that was removed since then is not stored. */
  readonly began?: number
}

export interface Tiered {
  /** Whether there are tiers that other gateways share. */
  readonly hasShared: boolean
  /** From memory, synchronously. Fresh or within its stale windows: the caller judges. */
  peek(digest: Digest): Entry | undefined
  /** Whether each is there and fresh, in any tier, without counting it as read or copying it to a faster tier. */
  areFresh(digests: readonly Digest[]): Promise<boolean[]>
  /** From the shared tiers, in the digests' order. Adds at most the largest readTimeout and 10 ms. */
  lookup(digests: readonly Digest[]): Promise<(CacheHit | undefined)[]>
  /** The same for one key, without a promise; `done` must not throw. */
  lookupOne(digest: Digest, done: (found: CacheHit | undefined) => void): void
  /** False: stored nowhere. True: memory has it, or a tier that takes writes now has it in its queue. */
  store(entry: Entry, options?: StoreOptions): boolean
  /** The leases of the first shared tier that offers them. */
  readonly leases?: GuardedLeases
  /** Reads the value that came in place of a lease; undefined where it is no living entry of that key. Not put in memory. */
  read(digest: Digest, bytes: Uint8Array): CacheHit | undefined
  /** Resolves false where memory or a shared tier could not remove it; then it is to be called again. */
  remove(digest: Digest): Promise<boolean>
  /** The present mark, which `store` takes as `began`; it changes whenever an entry is removed. */
  mark(): number
  /** Whether the key was not removed since `mark()` was this. */
  passes(digest: Digest, mark: number): boolean
  /** Calls `run` when another gateway signals that facts have changed; never where no tier can signal it. */
  listen(run: () => void): void
  /** The fact's value at the first shared tier, ours if it had none; undefined while that tier cannot be asked. */
  claim(name: string, value: string): Promise<string | undefined>
  facts(names: readonly string[]): Promise<(string | undefined)[] | undefined>
  publish(name: string, value: string): Promise<boolean>
  stats(): TieredStats
  /** Writes what is still queued, for at most `flushMs` (default 2,000), then closes the tiers. */
  close(flushMs?: number): Promise<void>
}

export interface TieredOptions {
  readonly memory?: Memory
  readonly tiers: readonly GuardedTier[]
  readonly clock?: Clock
  /** The longest an entry stays in memory, in milliseconds. */
  readonly ttlCap?: number
  readonly queue?: WriteQueueOptions
}

/** A shared tier keeps an entry this much longer than it may be used: its clock may differ from ours. */
const GRACE_MS = 5_000
/** What all tiers together may take beyond the largest read timeout: half of it, the rest is for the timers. */
const SLACK_MS = 5
/** With less time a tier is not asked: no answer could arrive. */
const MIN_BUDGET_MS = 1

export function createTiered(options: TieredOptions): Tiered {
  return new TieredCache(options)
}

interface TierState {
  readonly tier: GuardedTier
  readonly queue: WriteQueue
  hits: number
  misses: number
  garbled: number
}

/** One key being looked up since the fence stood at `mark`; without a deadline the tier's own timeout holds. */
interface PendingLookup {
  readonly digest: Digest
  readonly mark: number
  readonly deadline: number | undefined
  readonly done: (found: CacheHit | undefined) => void
}

class TieredCache implements Tiered {
  readonly hasShared: boolean
  readonly leases?: GuardedLeases
  /** The index of the tier that `leases` belongs to. */
  readonly #leaseLevel: number
  readonly #memory: Memory | undefined
  readonly #tierStates: readonly TierState[]
  readonly #clock: Clock
  readonly #ttlCap: number
  readonly #budgetMs: number
  readonly #facts: TierFacts
  #unstorable = 0
  readonly #fence: Fence
  #closed = false

  constructor(options: TieredOptions) {
    const { memory, tiers, clock = systemClock, ttlCap = Number.POSITIVE_INFINITY, queue } = options
    this.#memory = memory
    const counts = { hits: 0, misses: 0, garbled: 0 }
    this.#tierStates = tiers.map((tier) => ({ tier, queue: new WriteQueue(tier, queue), ...counts }))
    this.hasShared = tiers.length > 0
    this.#facts = new TierFacts(tiers[0])
    this.#leaseLevel = tiers.findIndex(({ leases }) => leases)
    const leases = tiers[this.#leaseLevel]?.leases
    if (leases) this.leases = leases
    this.#clock = clock
    this.#fence = new Fence(clock)
    this.#ttlCap = ttlCap
    this.#budgetMs = Math.max(0, ...tiers.map((tier) => tier.readTimeout)) + SLACK_MS
  }

  peek(digest: Digest): Entry | undefined {
    const bytes = this.#memory?.get(digest)
    const entry = bytes && decode(bytes, digest)
    return entry && this.#lives(entry) ? entry : undefined
  }

  areFresh(digests: readonly Digest[]): Promise<boolean[]> {
    const tiers = this.#tierStates.map(({ tier }) => tier)
    return areFresh({ memory: this.#memory, tiers, fence: this.#fence, clock: this.#clock }, digests)
  }

  async lookup(digests: readonly Digest[]): Promise<(CacheHit | undefined)[]> {
    const found: (CacheHit | undefined)[] = digests.map(() => undefined)
    const deadline = this.#clock.now() + this.#budgetMs
    const mark = this.#fence.mark()
    let missing = digests.map((_, index) => index)
    for (const [level, tierState] of this.#tierStates.entries()) {
      const budgetMs = this.#share(level, deadline)
      if (missing.length === 0 || this.#closed) break
      if (budgetMs < MIN_BUDGET_MS) continue
      const keys = missing.map((index) => digests[index] as Digest)
      const values = await tierState.tier.getMany(keys, budgetMs)
      missing = missing.filter((index, i) => {
        found[index] = this.#found(level, { digest: digests[index] as Digest, mark }, values[i])
        return found[index] === undefined
      })
    }
    // A slower tier may have taken longer than an entry from a faster one had to live.
    return found.map((each) => (each && this.#lives(each.entry) ? each : undefined))
  }

  lookupOne(digest: Digest, done: (found: CacheHit | undefined) => void): void {
    // A single tier has all the time there is.
    const deadline = this.#tierStates.length > 1 ? this.#clock.now() + this.#budgetMs : undefined
    this.#lookupFrom(0, { digest, mark: this.#fence.mark(), deadline, done })
  }

  store(entry: Entry, { memoryOnly = false, lease, began }: StoreOptions = {}): boolean {
    const isFenced = began !== undefined && !this.#fence.passes(entry.digest, began)
    const isOurs = memoryOnly || !this.hasShared
    const life = lifeMs(entry, this.#clock.wall())
    // Memory copies the bytes, but a tier's queue keeps them, so the scratch buffer serves for memory only.
    const bytes = this.#closed || isFenced || life <= 0 ? undefined : this.#encoded(entry, isOurs)
    let isStored = bytes !== undefined && this.#remember(entry, bytes, life)
    if (!bytes || isOurs) {
      lease?.onUnwritten()
      return isStored
    }
    const write = { digest: entry.digest, bytes, ttlMs: life + GRACE_MS }
    for (let level = 0; level < this.#tierStates.length; level++) {
      const { queue } = this.#tierStates[level] as TierState
      if (queue.push(level === this.#leaseLevel ? { ...write, lease } : write)) isStored = true
    }
    return isStored
  }

  #encoded(entry: Entry, isPassing: boolean): Buffer | undefined {
    try {
      return encode(entry, isPassing)
    } catch {
      this.#unstorable++
      return undefined
    }
  }

  read(digest: Digest, bytes: Uint8Array): CacheHit | undefined {
    // Not promoted to memory: the key may have been removed since the tier returned these bytes. The next lookup promotes it.
    const tierState = this.#tierStates[this.#leaseLevel]
    const entry = tierState && this.#read(tierState, bytes, digest)
    return entry && { entry, tier: tierState.tier.name }
  }

  mark(): number {
    return this.#fence.mark()
  }

  passes(digest: Digest, mark: number): boolean {
    return this.#fence.passes(digest, mark)
  }

  listen(run: () => void): void {
    this.#tierStates[0]?.tier.hints?.listen(run)
  }

  async remove(digest: Digest): Promise<boolean> {
    this.#fence.raise(digest)
    const isGone = this.#memory?.delete(digest) ?? true
    for (const { queue } of this.#tierStates) queue.forget(digest)
    const deleted = await Promise.all(this.#tierStates.map(({ tier }) => tier.delete(digest)))
    return isGone && deleted.every(Boolean)
  }

  claim(name: string, value: string): Promise<string | undefined> {
    return this.#facts.claim(name, value)
  }

  facts(names: readonly string[]): Promise<(string | undefined)[] | undefined> {
    return this.#facts.facts(names)
  }

  publish(name: string, value: string): Promise<boolean> {
    return this.#facts.publish(name, value)
  }

  stats(): TieredStats {
    const memory = this.#memory
    return {
      ...(memory ? { memory: { ...memory.stats(), bytes: memory.bytes, entries: memory.entries } } : {}),
      tiers: this.#tierStates.map(({ tier, queue, hits, misses, garbled }) => ({
        name: tier.name,
        state: tier.state,
        writes: tier.writes,
        ...(tier.trouble === undefined ? {} : { trouble: tier.trouble }),
        hits,
        misses,
        garbled,
        stored: queue.stored,
        failed: queue.failed,
        dropped: queue.dropped,
        queued: queue.entries,
        queuedBytes: queue.bytes,
      })),
      unstorable: this.#unstorable,
    }
  }

  async close(flushMs = 2_000): Promise<void> {
    this.#closed = true
    const flushed = Promise.all(this.#tierStates.map(({ queue }) => queue.idle()))
    let cancel = () => {}
    const late = new Promise<void>((resolve) => {
      cancel = this.#clock.after(flushMs, resolve)
    })
    await Promise.race([flushed, late])
    cancel()
    await Promise.all(this.#tierStates.map(({ tier }) => tier.close()))
  }

  /** This tier's share of the time left: the tiers behind it keep a slice, so that a hanging one does not hide them. */
  #share(level: number, deadline: number): number {
    const left = deadline - this.#clock.now()
    if (level === this.#tierStates.length - 1) return left
    const behind = this.#tierStates.slice(level + 1).filter(({ tier }) => tier.state === 'closed').length
    return behind === 0 ? left : left - Math.min(left / 3, SLACK_MS * behind)
  }

  #lookupFrom(level: number, pending: PendingLookup): void {
    const tierState = this.#closed ? undefined : this.#tierStates[level]
    if (!tierState) return pending.done(undefined)
    const budgetMs = pending.deadline === undefined ? this.#budgetMs : this.#share(level, pending.deadline)
    if (budgetMs < MIN_BUDGET_MS) return this.#lookupFrom(level + 1, pending)
    tierState.tier.getOne(pending.digest, budgetMs, (bytes) => {
      const found = this.#found(level, pending, bytes)
      if (found) pending.done(found)
      else this.#lookupFrom(level + 1, pending)
    })
  }

  #found(
    level: number,
    { digest, mark }: Pick<PendingLookup, 'digest' | 'mark'>,
    bytes?: Uint8Array,
  ): CacheHit | undefined {
    const tierState = this.#tierStates[level] as TierState
    const entry = this.#read(tierState, bytes, digest)
    if (!entry) return undefined
    // An entry that was removed while the tier answered must not come back with that answer.
    if (mark === this.#fence.mark()) this.#promote(entry, bytes as Uint8Array, level)
    return { entry, tier: tierState.tier.name }
  }

  #read(tierState: TierState, bytes: Uint8Array | undefined, digest: Digest): Entry | undefined {
    const entry = bytes && decode(bytes, digest)
    if (bytes && !entry) tierState.garbled++
    if (entry && this.#lives(entry) && !this.#fence.bars(digest, tierState.tier)) {
      tierState.hits++
      return entry
    }
    tierState.misses++
    return undefined
  }

  #lives(entry: Entry): boolean {
    return lifeMs(entry, this.#clock.wall()) > 0
  }

  #promote(entry: Entry, bytes: Uint8Array, level: number): void {
    if (!this.#memory && level === 0) return
    const present = this.#memory?.has(entry.digest) ? this.peek(entry.digest) : undefined
    // Stored here while the tier answered: it is newer, and already on its way to every tier.
    if (present && present.createdAt >= entry.createdAt) return
    const life = lifeMs(entry, this.#clock.wall())
    this.#remember(entry, bytes, life)
    for (const { queue } of this.#tierStates.slice(0, level)) {
      queue.push({ digest: entry.digest, bytes, ttlMs: life + GRACE_MS })
    }
  }

  #remember({ digest, costMs = 0 }: Entry, bytes: Uint8Array, life: number): boolean {
    const now = this.#clock.now()
    return this.#memory?.set(digest, bytes, now + Math.min(life, this.#ttlCap), { costMs, now }) ?? false
  }
}
