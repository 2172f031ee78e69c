/**
 * Maps the digest of a request's raw bytes to the key of its call, so that a byte-identical repeat finds its answer in a shared
 * tier without being parsed. Aliases are local to this process. Both digests cover the purge epochs and deployment tokens,
 * so after a purge or a deployment nobody looks an old alias up.
 */
import type { Digest } from '../../core/key.ts'
import type { Clock } from '../../lib/clock.ts'
import type { FoundFor } from '../decision/cache-decision.ts'
import { HotCache } from './hot-cache.ts'

/** About 16,000 aliases. */
const MAX_BYTES = 8 * 1024 * 1024
const BYTES = 112
/** An alias never becomes wrong; this only bounds how long an unused one stays. */
const LIFE_MS = 24 * 3_600_000

export interface Alias {
  /** The key of the whole call. */
  readonly whole: Digest
  /** Undefined: the digest of the raw bytes covers route and model. */
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

  /** Forgets an alias whose entry is gone. */
  delete(raw: Digest): void {
    this.#hot.delete(raw)
  }

  set(raw: Digest, whole: Digest, of?: FoundFor): void {
    const known = this.#hot.get(raw)
    // Equal keys may still come with another revision or other settings.
    const isKnown = known?.whole === whole && isSame(known.of, of)
    if (!isKnown) this.#hot.set(raw, { whole, of }, { bytes: BYTES, expiresAt: this.#clock.now() + LIFE_MS })
  }
}

function isSame(a: FoundFor | undefined, b: FoundFor | undefined): boolean {
  return a?.revision === b?.revision && a?.matched.route === b?.matched.route
}
