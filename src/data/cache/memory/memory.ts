/**
 * The memory tier of this process, where every key is looked up first, synchronously. It stores bytes and numbers, never
 * objects; `entry.ts` knows what they mean. It is not a `Tier`: nothing here can be slow or fail.
 *
 * One thread uses it alone, or several share it. Shared memory is divided into arenas by digest, each with its own lock, so
 * that threads seldom contend, and a thread that dies in the middle of a write costs one arena and not all of them.
 */
import type { Digest } from '../../../core/key.ts'
import type { Clock } from '../../../lib/clock.ts'
import { systemClock } from '../../../lib/clock.ts'
import { Arena, allocateArena } from './arena.ts'
import type { ArenaBytes } from './arena-bytes.ts'
import { ArenaWalk } from './arena-walk.ts'
import { missCost } from './miss-cost.ts'
import type { KeptRecord } from './record-terms.ts'
import { recoverArena, SharedArena } from './shared-arena.ts'

export interface MemoryStats {
  readonly hits: number
  readonly misses: number
  readonly evictions: number
  readonly admitted: number
  /** Values too large for an entry, or already expired. */
  readonly refused: number
}

export interface Memory {
  /**
   * A copy of the value: later writes do not change it. It lies in Node's shared buffer pool, so whoever keeps it beyond
   * the call copies it again.
   */
  get(digest: Digest): Uint8Array | undefined
  /** The same, without counting it as a read. */
  look(digest: Digest): Uint8Array | undefined
  /** Whether there is a value, without counting it as a read. */
  has(digest: Digest): boolean
  /**
   * Stores a copy of `bytes` until the monotonic time `expiresAt`. False where it was refused; the digest's old value is
   * removed then too.
   */
  set(digest: Digest, bytes: Uint8Array, expiresAt: number, options?: SetOptions): boolean
  /** Takes back a value of before a restart, as `Arena.restore` does: it displaces nothing. False: it was not taken. */
  restore(digest: Digest, bytes: Uint8Array, kept: KeptRecord): boolean
  /** Walks over all arenas, one behind the other, for a copy in a file. */
  walks(): readonly ArenaWalk[]
  /** False: not deleted, since a thread died while it held the lock; to be called again. */
  delete(digest: Digest): boolean
  /** The bytes of all live entries, bookkeeping included; never above `maxBytes`. */
  readonly bytes: number
  readonly entries: number
  stats(): MemoryStats
}

export interface SetOptions {
  /** The backend milliseconds that a miss costs; 0 or left out: unknown. */
  readonly costMs?: number
  /** For a caller that has read the clock already. */
  readonly now?: number
}

export interface MemoryOptions {
  /** All memory to reserve, index included; at least 64 KiB. The system commits pages as they are first used. */
  readonly maxBytes: number
  /** Larger values are refused, and so is any value above about two fifths of `maxBytes`, or of an arena. */
  readonly maxEntryBytes?: number
  readonly clock?: Clock
}

/** Memory of several threads, as plain data for `postMessage`. */
export interface SharedMemory {
  readonly arenas: readonly ArenaBytes[]
}

export interface SharedMemoryOptions extends Omit<MemoryOptions, 'maxBytes'> {
  readonly shared: SharedMemory
  /** The number of this thread, from 0. */
  readonly worker: number
}

const MIN_BYTES = 64 * 1024
/** Smaller arenas would hold too little to be worth a lock each. */
const MIN_ARENA_BYTES = 8 * 1024 * 1024
/** An arena is at least this many times as large as the largest entry it is to take. */
const ENTRY_SHARE = 2.5

export function createMemory(options: MemoryOptions | SharedMemoryOptions): Memory {
  if ('shared' in options) {
    const { shared, worker } = options
    const arenas = shared.arenas.map((bytes) => new SharedArena(bytes, worker))
    return new MemoryOver(arenas, { ...options, walks: () => walksOf(shared.arenas, worker) })
  }
  checkSize(options.maxBytes)
  const own = allocateArena(options.maxBytes)
  return new MemoryOver([new Arena(own)], { ...options, walks: () => walksOf([own], undefined) })
}

/**
 * @param threads that will use it at a time.
 * @param maxEntryBytes the largest entry it must take: for larger ones there are fewer arenas.
 */
export function allocateMemory(maxBytes: number, threads: number, maxEntryBytes = 0): SharedMemory {
  checkSize(maxBytes)
  const least = Math.max(MIN_ARENA_BYTES, ENTRY_SHARE * maxEntryBytes)
  let count = 1
  while (count < 2 * threads && count < 256 && maxBytes / (2 * count) >= least) count *= 2
  const each = Math.floor(maxBytes / count)
  return { arenas: Array.from({ length: count }, () => allocateArena(each, true)) }
}

/** The control thread calls this after a worker has died. Empties the arenas that the worker had locked; returns how many. */
export function recoverMemory({ arenas }: SharedMemory, worker: number): number {
  return arenas.filter((bytes) => recoverArena(bytes, worker)).length
}

function walksOf(arenas: readonly ArenaBytes[], worker: number | undefined): readonly ArenaWalk[] {
  return arenas.map((bytes) => new ArenaWalk(bytes, worker))
}

interface OverOptions extends Pick<MemoryOptions, 'maxEntryBytes' | 'clock'> {
  readonly walks: Memory['walks']
}

function checkSize(maxBytes: number): void {
  if (maxBytes >= MIN_BYTES) return
  throw new RangeError(
    `memory: maxBytes is ${maxBytes}; give at least ${MIN_BYTES}, or leave the memory tier out`,
  )
}

class MemoryOver implements Memory {
  /** Their number is a power of two; the last byte of a digest selects one. */
  readonly #arenas: readonly (Arena | SharedArena)[]
  readonly #mask: number
  readonly walks: Memory['walks']
  readonly #limit: number
  readonly #clock: Clock
  #hits = 0
  #misses = 0
  #admitted = 0
  #refused = 0

  constructor(
    arenas: readonly (Arena | SharedArena)[],
    { maxEntryBytes = Number.POSITIVE_INFINITY, clock = systemClock, walks }: OverOptions,
  ) {
    this.walks = walks
    this.#arenas = arenas
    this.#mask = arenas.length - 1
    this.#limit = Math.min(maxEntryBytes, ...arenas.map(({ maxValueBytes }) => maxValueBytes))
    this.#clock = clock
  }

  get(digest: Digest): Uint8Array | undefined {
    const value = this.#of(digest).get(digest, this.#clock.now())
    if (value) this.#hits++
    else this.#misses++
    return value
  }

  look(digest: Digest): Uint8Array | undefined {
    return this.#of(digest).get(digest, this.#clock.now(), false)
  }

  set(
    digest: Digest,
    bytes: Uint8Array,
    expiresAt: number,
    { costMs = 0, now = this.#clock.now() }: SetOptions = {},
  ): boolean {
    const arena = this.#of(digest)
    const isFit = bytes.length <= this.#limit && expiresAt > now
    if (!isFit) arena.delete(digest)
    if (!isFit || !arena.set(digest, bytes, { expiresAt, cost: missCost(costMs), now })) {
      this.#refused++
      return false
    }
    this.#admitted++
    return true
  }

  restore(digest: Digest, bytes: Uint8Array, kept: KeptRecord): boolean {
    const isFit = bytes.length <= this.#limit && kept.expiresAt > this.#clock.now()
    return isFit && this.#of(digest).restore(digest, bytes, kept)
  }

  has(digest: Digest): boolean {
    return this.#of(digest).has(digest, this.#clock.now())
  }

  delete(digest: Digest): boolean {
    return this.#of(digest).delete(digest)
  }

  get bytes(): number {
    return this.#arenas.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  get entries(): number {
    return this.#arenas.reduce((sum, { entries }) => sum + entries, 0)
  }

  stats(): MemoryStats {
    const evictions = this.#arenas.reduce((sum, arena) => sum + arena.evictions, 0)
    return {
      hits: this.#hits,
      misses: this.#misses,
      evictions,
      admitted: this.#admitted,
      refused: this.#refused,
    }
  }

  #of(digest: Digest): Arena | SharedArena {
    return this.#arenas[digest.charCodeAt(31) & this.#mask] as Arena | SharedArena
  }
}
