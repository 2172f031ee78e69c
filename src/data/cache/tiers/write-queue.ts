/**
 * The queue of writes to a shared tier, behind the answer: no call waits for one. It is bounded in entries and bytes. When it
 * is full the oldest writes are dropped, since the newest keys are the likeliest to be requested.
 */
import type { Digest } from '../../../core/key.ts'
import type { GuardedTier } from './guard.ts'

export interface Write {
  readonly digest: Digest
  readonly bytes: Uint8Array
  readonly ttlMs: number
  /** The lease under which the tier takes the value; without one it is written in any case. */
  readonly lease?: Leasehold | undefined
}

/** The right to fill a key, passed on to the write. */
export interface Leasehold {
  readonly token: string
  /** Called where the value was not written: nobody need wait for it any longer. */
  readonly onUnwritten: () => void
}

export interface WriteQueueOptions {
  readonly maxEntries?: number
  readonly maxBytes?: number
}

const MAX_QUEUED_ENTRIES = 10_000
const MAX_QUEUED_BYTES = 64 * 1024 * 1024

/** The most writes under way at a time: enough for the wire, few enough that a deletion is not far behind. */
const MAX_UNDER_WAY = 64

export class WriteQueue {
  stored = 0
  failed = 0
  /** Dropped because the queue was full. */
  dropped = 0
  bytes = 0
  readonly #tier: GuardedTier
  readonly #maxEntries: number
  readonly #maxBytes: number
  // A Map keeps the order of insertion and finds a digest: the oldest write is its first value.
  readonly #waiting = new Map<Digest, Write>()
  #underWay = 0
  #scheduled = false
  #idle: (() => void)[] = []

  constructor(tier: GuardedTier, options: WriteQueueOptions = {}) {
    this.#tier = tier
    this.#maxEntries = options.maxEntries ?? MAX_QUEUED_ENTRIES
    this.#maxBytes = options.maxBytes ?? MAX_QUEUED_BYTES
  }

  get entries(): number {
    return this.#waiting.size
  }

  /** False: not queued, since it is too long or the tier takes no writes now. */
  push(write: Write): boolean {
    this.forget(write.digest)
    const isLong = write.bytes.length > this.#maxBytes
    if (isLong || !this.#tier.takes(write.digest, write.bytes.length)) {
      if (isLong) this.dropped++
      else this.failed++
      write.lease?.onUnwritten()
      return false
    }
    this.#waiting.set(write.digest, write)
    this.bytes += write.bytes.length
    while (this.#waiting.size > this.#maxEntries || this.bytes > this.#maxBytes) {
      const oldest = this.#take()
      if (!oldest) break
      this.dropped++
      oldest.lease?.onUnwritten()
    }
    this.#schedule()
    return true
  }

  /** Drops a queued write: it must not bring back what is removed. */
  forget(digest: Digest): void {
    this.#remove(digest)?.lease?.onUnwritten()
  }

  /** Resolves when nothing is queued and nothing under way. */
  idle(): Promise<void> {
    if (this.#waiting.size === 0 && this.#underWay === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  #take(): Write | undefined {
    const oldest = this.#waiting.values().next().value
    return oldest && this.#remove(oldest.digest)
  }

  #remove(digest: Digest): Write | undefined {
    const write = this.#waiting.get(digest)
    if (!write) return undefined
    this.#waiting.delete(digest)
    this.bytes -= write.bytes.length
    return write
  }

  /** Sends in a later turn of the event loop, so that the answer leaves first. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      while (this.#underWay < MAX_UNDER_WAY) {
        const write = this.#take()
        if (!write) break
        void this.#send(write)
      }
    })
  }

  async #send(write: Write): Promise<void> {
    this.#underWay++
    const stored = await this.#write(write)
    if (!stored) write.lease?.onUnwritten()
    this.#underWay--
    if (stored) this.stored++
    else this.failed++
    if (this.#waiting.size > 0) this.#schedule()
    else if (this.#underWay === 0) for (const resolve of this.#idle.splice(0)) resolve()
  }

  #write({ digest, bytes, ttlMs, lease }: Write): Promise<boolean> {
    const { leases } = this.#tier
    if (lease && leases) return leases.fill(digest, lease.token, bytes, ttlMs)
    return this.#tier.set(digest, bytes, ttlMs)
  }
}
