/**
 * An LRU cache of objects by digest, bounded by bytes: the ready answers and aliases of byte-identical repeats. Process memory
 * holds bytes, which must be decoded; this holds objects, and only those of the most frequent requests.
 */
import { LRUCache } from 'lru-cache'
import type { Digest } from '../../core/key.ts'
import type { Clock } from '../../lib/clock.ts'
import { systemClock } from '../../lib/clock.ts'

export interface HotOptions {
  readonly maxBytes: number
  readonly clock?: Clock
}

export interface HotLife {
  /** The bytes that the value keeps alive. */
  readonly bytes: number
  /** Monotonic milliseconds at which it expires. */
  readonly expiresAt: number
}

/** A cached value. A caller that keeps one asks `holds` before it uses it again. */
export interface HotEntry<T> {
  readonly digest: Digest
  readonly value: T
  readonly expiresAt: number
  /** How often it was found in the front table, which does not touch the LRU. */
  found: number
  isGone: boolean
}

/**
 * A direct-mapped table in front of the LRU, indexed by a digest's first bits, holds what was found last: a look-up there
 * relinks no list and hashes no string. Every sixteenth hit touches the LRU, so that it knows what is in use.
 */
const SLOTS = 4096
const TOUCH_EVERY = 16

/** What an LRU entry costs beside its value: measured with Buffers of 300 B on Node 26. */
const OVERHEAD_BYTES = 400

export class HotCache<T> {
  readonly #entry: LRUCache<Digest, HotEntry<T>>
  readonly #front = new Array<HotEntry<T> | undefined>(SLOTS).fill(undefined)
  readonly #clock: Clock

  constructor({ maxBytes, clock = systemClock }: HotOptions) {
    this.#entry = new LRUCache({
      maxSize: Math.max(1, Math.floor(maxBytes)),
      dispose: (entry, digest) => {
        entry.isGone = true
        const slot = slotOf(digest)
        if (this.#front[slot] === entry) this.#front[slot] = undefined
      },
    })
    this.#clock = clock
  }

  /** `now`: monotonic milliseconds, if the caller has read the clock already. */
  get(digest: Digest, now?: number): T | undefined {
    return this.find(digest, now)?.value
  }

  find(digest: Digest, now?: number): HotEntry<T> | undefined {
    if (this.#entry.size === 0) return undefined
    const slot = slotOf(digest)
    const first = this.#front[slot]
    const isFirst = first !== undefined && first.digest === digest && ++first.found % TOUCH_EVERY !== 0
    const entry = isFirst ? first : this.#entry.get(digest)
    if (entry === undefined) return undefined
    if (entry.expiresAt > (now ?? this.#clock.now())) {
      this.#front[slot] = entry
      return entry
    }
    this.#entry.delete(digest)
    return undefined
  }

  /** Whether an entry found earlier would be found now. */
  holds(entry: HotEntry<T>, now: number): boolean {
    if (entry.isGone || entry.expiresAt <= now) return false
    if (++entry.found % TOUCH_EVERY === 0) this.#entry.get(entry.digest)
    return true
  }

  /** Stores the value. One that is larger than the whole cache is not stored, and the old value of its digest is dropped. */
  set(digest: Digest, value: T, life: HotLife): void {
    const size = Math.ceil(life.bytes) + OVERHEAD_BYTES
    this.#entry.set(digest, { digest, value, expiresAt: life.expiresAt, found: 0, isGone: false }, { size })
  }

  delete(digest: Digest): void {
    this.#entry.delete(digest)
  }

  clear(): void {
    this.#entry.clear()
  }

  get bytes(): number {
    return this.#entry.calculatedSize
  }

  get entries(): number {
    return this.#entry.size
  }
}

function slotOf(digest: Digest): number {
  return (digest.charCodeAt(0) | (digest.charCodeAt(1) << 8)) % SLOTS
}
