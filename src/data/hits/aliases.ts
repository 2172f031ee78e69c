/**
 * Which key a request's raw bytes led to, so that a byte-identical repeat finds its answer in a shared tier without
 * being read. Names only, in this process alone: both digests cover the same epochs and tokens, so a purge or a
 * deployment leaves an alias that nobody asks for.
 */
import type { Digest } from '../../core/key.ts'
import type { Clock } from '../../lib/clock.ts'
import { Hot } from './hot.ts'

/** About 18,000 aliases. */
const MAX_BYTES = 8 * 1024 * 1024
const BYTES = 64
/** An alias is right for as long as its key is; this only bounds how long an unused one stays. */
const LIFE_MS = 24 * 3_600_000

export class Aliases {
  readonly #hot: Hot<Digest>
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#hot = new Hot({ maxBytes: MAX_BYTES, clock })
    this.#clock = clock
  }

  /** The key of the whole call. */
  get(raw: Digest): Digest | undefined {
    return this.#hot.get(raw)
  }

  /** What it names is not there any more. */
  delete(raw: Digest): void {
    this.#hot.delete(raw)
  }

  set(raw: Digest, whole: Digest): void {
    if (this.#hot.get(raw) !== whole)
      this.#hot.set(raw, whole, { bytes: BYTES, expiresAt: this.#clock.now() + LIFE_MS })
  }
}
