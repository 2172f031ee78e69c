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

interface Kept<T> {
  readonly value: T
  readonly expiresAt: number
}

/** What an entry of the LRU costs beside its value: measured with Buffers of 300 B on Node 26. */
const OVERHEAD_BYTES = 400

export class Hot<T> {
  readonly #kept: LRUCache<Digest, Kept<T>>
  readonly #clock: Clock

  constructor({ maxBytes, clock = systemClock }: HotOptions) {
    this.#kept = new LRUCache({ maxSize: Math.max(1, Math.floor(maxBytes)) })
    this.#clock = clock
  }

  /** `now`: monotonic, for whoever has read the clock already. */
  get(digest: Digest, now = this.#clock.now()): T | undefined {
    const kept = this.#kept.get(digest)
    if (kept === undefined) return undefined
    if (kept.expiresAt > now) return kept.value
    this.#kept.delete(digest)
    return undefined
  }

  /** Keeps the value; one larger than everything is not kept, and what stood there is gone. */
  set(digest: Digest, value: T, life: HotLife): void {
    const size = Math.ceil(life.bytes) + OVERHEAD_BYTES
    this.#kept.set(digest, { value, expiresAt: life.expiresAt }, { size })
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
