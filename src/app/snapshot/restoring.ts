/** Puts the records of a snapshot back into memory, each only where it may still be given. */
import { decode, lifeMs } from '../../data/cache/entry.ts'
import type { Memory } from '../../data/cache/memory/memory.ts'
import type { FileRecord } from '../../data/cache/snapshot/format.ts'
import type { Tiered } from '../../data/cache/tiered.ts'
import type { Clock } from '../../lib/clock.ts'

export interface RestoringParts {
  readonly memory: Pick<Memory, 'restore'>
  readonly cache: Pick<Tiered, 'mark' | 'passes'>
  readonly clock: Pick<Clock, 'now' | 'wall'>
  /** Wall milliseconds from which the lives of the records count. */
  readonly writtenAt: number
}

export interface Restored {
  loaded: number
  /** Their time is over. */
  expired: number
  /** They were purged since the start. */
  purged: number
  /** Memory has a newer one, or no room. */
  refused: number
}

export class Restoring {
  readonly counts: Restored = { loaded: 0, expired: 0, purged: 0, refused: 0 }
  readonly #parts: RestoringParts
  /** What was removed since then does not come back. */
  readonly #began: number

  constructor(parts: RestoringParts) {
    this.#parts = parts
    this.#began = parts.cache.mark()
  }

  take(record: FileRecord): void {
    this.counts[this.#taken(record)]++
  }

  #taken({ digest, value, lifeMs: lived, meta }: FileRecord): keyof Restored {
    const { memory, cache, clock, writtenAt } = this.#parts
    const entry = decode(value, digest)
    if (!entry || entry.status === 204) return 'refused'
    // By the times of the answer, and by what was left of it when it was written: clocks may have been set in between.
    const wall = clock.wall()
    const left = Math.min(lifeMs(entry, wall), lived - Math.max(0, wall - writtenAt))
    if (!(left > 0)) return 'expired'
    if (!cache.passes(digest, this.#began)) return 'purged'
    return memory.restore(digest, value, { expiresAt: clock.now() + left, meta }) ? 'loaded' : 'refused'
  }
}
