/**
 * The process memory: the first place every key is looked for, synchronously. It takes and gives bytes and
 * numbers, never objects; what they mean is known to the entry. Not a Tier: nothing here can be slow or fail.
 */
import type { Digest } from '../../core/key.ts'
import type { Clock } from '../../lib/clock.ts'
import { systemClock } from '../../lib/clock.ts'
import { Arena } from './arena.ts'

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
   * stood under the digest is gone then too.
   */
  set(digest: Digest, bytes: Uint8Array, expiresAt: number): boolean
  delete(digest: Digest): void
  /** What the live entries take, bookkeeping included; never above `maxBytes`. */
  readonly bytes: number
  readonly entries: number
  stats(): MemoryStats
}

export interface MemoryOptions {
  /** Everything that is reserved, index included; at least 64 KiB. Pages are committed as they are first used. */
  readonly maxBytes: number
  /** Values above this are refused; default 1 MiB, and never above about a fifth of `maxBytes`. */
  readonly maxEntryBytes?: number
  readonly clock?: Clock
}

const MIN_BYTES = 64 * 1024

export function createMemory(options: MemoryOptions): Memory {
  const { maxBytes, maxEntryBytes = 1024 * 1024, clock = systemClock } = options
  if (!(maxBytes >= MIN_BYTES)) {
    throw new RangeError(
      `memory: maxBytes is ${maxBytes}; give at least ${MIN_BYTES}, or leave the memory tier out`,
    )
  }
  const arena = new Arena(maxBytes)
  const limit = Math.min(maxEntryBytes, arena.maxValueBytes)
  let hits = 0
  let misses = 0
  let admitted = 0
  let refused = 0

  return {
    get(digest) {
      const value = arena.get(digest, clock.now())
      if (value) hits++
      else misses++
      return value
    },
    set(digest, bytes, expiresAt) {
      const now = clock.now()
      if (bytes.length > limit || !(expiresAt > now)) {
        arena.delete(digest)
        refused++
        return false
      }
      arena.set(digest, bytes, { expiresAt, now })
      admitted++
      return true
    },
    has: (digest) => arena.has(digest, clock.now()),
    delete: (digest) => arena.delete(digest),
    get bytes() {
      return arena.bytes
    },
    get entries() {
      return arena.entries
    },
    stats: () => ({ hits, misses, evictions: arena.evictions, admitted, refused }),
  }
}
