/**
 * The process memory: the first place every key is looked for, synchronously. It takes and gives bytes and
 * numbers, never objects; what they mean is known to the entry. Not a Tier: nothing here can be slow or fail.
 *
 * One thread has it for itself, or several share it: then it is divided into a few arenas by digest, each with its lock, so
 * that threads seldom meet, and one that dies in the middle of a write costs a part of what is kept and not all.
 */
import type { Digest } from '../../../core/key.ts'
import type { Clock } from '../../../lib/clock.ts'
import { systemClock } from '../../../lib/clock.ts'
import { Arena, allocateArena } from './arena.ts'
import type { ArenaBytes } from './arena-bytes.ts'
import { recoverArena, SharedArena } from './shared-arena.ts'

export interface MemoryStats {
  readonly hits: number
  readonly misses: number
  readonly evictions: number
  readonly admitted: number
  /** Values larger than an entry may be, or already expired. */
  readonly refused: number
}

export interface Memory {
  /**
   * A copy of the value: it stays right whatever is written later. It lies in Node's shared buffer pool, so
   * whoever keeps it beyond the call copies it again.
   */
  get(digest: Digest): Uint8Array | undefined
  /** Whether there is a value, without counting it as a read. */
  has(digest: Digest): boolean
  /**
   * Puts a copy of `bytes` in until the monotonic time `expiresAt`. False where it was refused; a value that
   * stood under the digest is gone then too. `now`: for whoever has read the clock already.
   */
  set(digest: Digest, bytes: Uint8Array, expiresAt: number, now?: number): boolean
  /** False: it could not be, another thread having died over it; to be called again. */
  delete(digest: Digest): boolean
  /** What the live entries take, bookkeeping included; never above `maxBytes`. */
  readonly bytes: number
  readonly entries: number
  stats(): MemoryStats
}

export interface MemoryOptions {
  /** Everything that is reserved, index included; at least 64 KiB. Pages are committed as they are first used. */
  readonly maxBytes: number
  /** Values above this are refused, and always what is above some two fifths of `maxBytes`, or of an arena. */
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
/** Smaller ones would hold too little each for a lock of its own. */
const MIN_ARENA_BYTES = 8 * 1024 * 1024
/** An arena is so much larger than the largest entry it is to take, at least. */
const ENTRY_SHARE = 2.5

export function createMemory(options: MemoryOptions | SharedMemoryOptions): Memory {
  if ('shared' in options) {
    const { shared, worker } = options
    const arenas = shared.arenas.map((bytes) => new SharedArena(bytes, worker))
    return new MemoryOver(arenas, options)
  }
  checkSize(options.maxBytes)
  return new MemoryOver([new Arena(allocateArena(options.maxBytes))], options)
}

/**
 * @param threads that will use it at a time.
 * @param maxEntryBytes for which room is made: of large entries there are fewer arenas.
 */
export function allocateMemory(maxBytes: number, threads: number, maxEntryBytes = 0): SharedMemory {
  checkSize(maxBytes)
  const least = Math.max(MIN_ARENA_BYTES, ENTRY_SHARE * maxEntryBytes)
  let count = 1
  while (count < 2 * threads && count < 256 && maxBytes / (2 * count) >= least) count *= 2
  const each = Math.floor(maxBytes / count)
  return { arenas: Array.from({ length: count }, () => allocateArena(each, true)) }
}

/** Called by the control thread once a worker has ended; gives how many arenas it ended in, which are empty now. */
export function recoverMemory({ arenas }: SharedMemory, worker: number): number {
  return arenas.filter((bytes) => recoverArena(bytes, worker)).length
}

function checkSize(maxBytes: number): void {
  if (maxBytes >= MIN_BYTES) return
  throw new RangeError(
    `memory: maxBytes is ${maxBytes}; give at least ${MIN_BYTES}, or leave the memory tier out`,
  )
}

class MemoryOver implements Memory {
  /** A power of two of them; the last byte of a digest chooses. */
  readonly #arenas: readonly (Arena | SharedArena)[]
  readonly #mask: number
  readonly #limit: number
  readonly #clock: Clock
  #hits = 0
  #misses = 0
  #admitted = 0
  #refused = 0

  constructor(
    arenas: readonly (Arena | SharedArena)[],
    { maxEntryBytes = Number.POSITIVE_INFINITY, clock = systemClock }: Omit<MemoryOptions, 'maxBytes'>,
  ) {
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

  set(digest: Digest, bytes: Uint8Array, expiresAt: number, now = this.#clock.now()): boolean {
    const arena = this.#of(digest)
    const isFit = bytes.length <= this.#limit && expiresAt > now
    if (!isFit) arena.delete(digest)
    if (!isFit || !arena.set(digest, bytes, { expiresAt, now })) {
      this.#refused++
      return false
    }
    this.#admitted++
    return true
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
