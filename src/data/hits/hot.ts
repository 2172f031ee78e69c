/**
 * Ready-made answers by digest: what a byte-identical repeat is answered from without decoding anything.
 * Objects, unlike the memory behind it, so it holds only the hottest and is bounded by bytes all the same.
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
  /** What the value holds on to. */
  readonly bytes: number
  /** Monotonic milliseconds from which it is gone. */
  readonly expiresAt: number
}

/** A value in its place. Whoever keeps one asks `holds` before using it. */
export interface HotEntry<T> {
  readonly digest: Digest
  readonly value: T
  readonly expiresAt: number
  /** Times it was found without the LRU hearing of it. */
  found: number
  isGone: boolean
}

/**
 * In front of the LRU stands a table with a place for each value of a digest's first bits, for what was found last: a
 * look there mends no list and hashes no string. The LRU hears of each of these so often, to know what is in use.
 */
const PLACES = 4096
const TOLD_EVERY = 16

/** What an entry of the LRU costs beside its value: measured with Buffers of 300 B on Node 26. */
const OVERHEAD_BYTES = 400

export class Hot<T> {
  readonly #kept: LRUCache<Digest, HotEntry<T>>
  readonly #front = new Array<HotEntry<T> | undefined>(PLACES).fill(undefined)
  readonly #clock: Clock

  constructor({ maxBytes, clock = systemClock }: HotOptions) {
    this.#kept = new LRUCache({
      maxSize: Math.max(1, Math.floor(maxBytes)),
      dispose: (kept, digest) => {
        kept.isGone = true
        const place = placeOf(digest)
        if (this.#front[place] === kept) this.#front[place] = undefined
      },
    })
    this.#clock = clock
  }

  /** `now`: monotonic, for whoever has read the clock already. */
  get(digest: Digest, now?: number): T | undefined {
    return this.find(digest, now)?.value
  }

  find(digest: Digest, now?: number): HotEntry<T> | undefined {
    if (this.#kept.size === 0) return undefined
    const place = placeOf(digest)
    const first = this.#front[place]
    const isFirst = first !== undefined && first.digest === digest && ++first.found % TOLD_EVERY !== 0
    const kept = isFirst ? first : this.#kept.get(digest)
    if (kept === undefined) return undefined
    if (kept.expiresAt > (now ?? this.#clock.now())) {
      this.#front[place] = kept
      return kept
    }
    this.#kept.delete(digest)
    return undefined
  }

  /** Whether what was found once would be found again. */
  holds(kept: HotEntry<T>, now: number): boolean {
    if (kept.isGone || kept.expiresAt <= now) return false
    if (++kept.found % TOLD_EVERY === 0) this.#kept.get(kept.digest)
    return true
  }

  /** Keeps the value; one larger than everything is not kept, and what stood there is gone. */
  set(digest: Digest, value: T, life: HotLife): void {
    const size = Math.ceil(life.bytes) + OVERHEAD_BYTES
    this.#kept.set(digest, { digest, value, expiresAt: life.expiresAt, found: 0, isGone: false }, { size })
  }

  delete(digest: Digest): void {
    this.#kept.delete(digest)
  }

  clear(): void {
    this.#kept.clear()
  }

  get bytes(): number {
    return this.#kept.calculatedSize
  }

  get entries(): number {
    return this.#kept.size
  }
}

function placeOf(digest: Digest): number {
  return (digest.charCodeAt(0) | (digest.charCodeAt(1) << 8)) % PLACES
}
