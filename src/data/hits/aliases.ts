/**
 * Which key a request's raw bytes led to, so that a byte-identical repeat finds its answer in a shared tier without
 * being read. Names only, in this process alone: both digests cover the same epochs and tokens, so a purge or a
 * deployment leaves an alias that nobody asks for.
 */
import type { Digest } from '../../core/key.ts'
import type { Clock } from '../../lib/clock.ts'
import type { FoundFor } from '../decision/cache-decision.ts'
import { HotCache } from './hot-cache.ts'

/** About 16,000 aliases. */
const MAX_BYTES = 8 * 1024 * 1024
const BYTES = 112
/** An alias is right for as long as its key is; this only bounds how long an unused one stays. */
const LIFE_MS = 24 * 3_600_000

export interface Alias {
  /** The key of the whole call. */
  readonly whole: Digest
  /** Undefined: the digest of the raw bytes says it. */
  readonly of: FoundFor | undefined
}

export class Aliases {
  readonly #hot: HotCache<Alias>
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#hot = new HotCache({ maxBytes: MAX_BYTES, clock })
    this.#clock = clock
  }

  get(raw: Digest): Alias | undefined {
    return this.#hot.get(raw)
  }

  /** What it names is not there any more. */
  delete(raw: Digest): void {
    this.#hot.delete(raw)
  }

  set(raw: Digest, whole: Digest, of?: FoundFor): void {
    const known = this.#hot.get(raw)
    // Another revision or other settings, though all else be equal.
    const isKnown = known?.whole === whole && isSame(known.of, of)
    if (!isKnown) this.#hot.set(raw, { whole, of }, { bytes: BYTES, expiresAt: this.#clock.now() + LIFE_MS })
  }
}

function isSame(a: FoundFor | undefined, b: FoundFor | undefined): boolean {
  return a?.revision === b?.revision && a?.matched.route === b?.matched.route
}
