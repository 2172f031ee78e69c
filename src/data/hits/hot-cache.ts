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
const SLOTS = 4096
const TOUCH_EVERY = 16

/** What an entry of the LRU costs beside its value: measured with Buffers of 300 B on Node 26. */
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

  /** `now`: monotonic, for whoever has read the clock already. */
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

  /** Whether what was found once would be found again. */
  holds(entry: HotEntry<T>, now: number): boolean {
    if (entry.isGone || entry.expiresAt <= now) return false
    if (++entry.found % TOUCH_EVERY === 0) this.#entry.get(entry.digest)
    return true
  }

  /** Keeps the value; one larger than everything is not kept, and what stood there is gone. */
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
