/**
 * How many copies may be on their way from this worker, and how much memory they may hold. A pool whose copies fail is asked
 * seldom, so that what fails costs callers hardly any processor time.
 */
import type { MirrorDrop } from '../../core/mirror.ts'

/** Of a gateway; each of its workers has an equal part. */
const MAX_COPIES = 256
const MAX_BYTES = 64 << 20
/** The longest body of one copy. */
const MAX_BODY_BYTES = 8 << 20

/** So many failures of a pool, one behind the other, and it is asked this often until an answer comes. */
const FAILURES = 8
const TRY_MS = 100

interface PoolFailures {
  count: number
  /** Monotonic milliseconds. */
  nextAt: number
}

export class MirrorLimits {
  readonly #maxCopies: number
  readonly #maxBytes: number
  /** The pools that routes name. */
  readonly #failures = new Map<string, PoolFailures>()
  #copies = 0
  #bytes = 0

  /** @param workers of the gateway */
  constructor(workers: number) {
    this.#maxCopies = Math.max(1, Math.floor(MAX_COPIES / workers))
    this.#maxBytes = MAX_BYTES / workers
  }

  get copies(): number {
    return this.#copies
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Why no copy could be sent now, before anything is done for it. */
  refusal(pool: string, now: number): MirrorDrop | undefined {
    if (this.#copies >= this.#maxCopies) return 'full'
    const failures = this.#failures.get(pool)
    return failures && failures.count >= FAILURES && now < failures.nextAt ? 'failing' : undefined
  }

  /** Takes a place for a copy with a body of so many bytes, that may hold `more` besides; `leave` must follow. */
  enter(pool: string, { body, more, now }: CopySize): MirrorDrop | undefined {
    const refusal = this.refusal(pool, now)
    if (refusal) return refusal
    if (body > MAX_BODY_BYTES || this.#bytes + body + more > this.#maxBytes) return 'bytes'
    const failures = this.#failures.get(pool)
    if (failures && failures.count >= FAILURES) failures.nextAt = now + TRY_MS
    this.#copies++
    this.#bytes += body + more
    return undefined
  }

  leave(bytes: number): void {
    this.#copies--
    this.#bytes -= bytes
  }

  succeeded(pool: string): void {
    this.#failures.delete(pool)
  }

  failed(pool: string): void {
    const known = this.#failures.get(pool)
    if (known) known.count++
    else this.#failures.set(pool, { count: 1, nextAt: 0 })
  }
}

export interface CopySize {
  readonly body: number
  readonly more: number
  /** Monotonic milliseconds. */
  readonly now: number
}
