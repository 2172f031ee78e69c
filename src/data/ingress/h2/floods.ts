/**
 * Bounds the frames that cost us more than they cost the client: streams that are reset at once (CVE-2023-44487, "rapid reset"),
 * and frames that ask for nothing (CVE-2019-9512, 9515, 9518). A client that sends more than any in earnest does is ended.
 */
import { ConnectionError, ENHANCE_YOUR_CALM } from '../../../lib/http2/frames.ts'

/** Resets: a client that cancels all its calls at once has as many as it may have streams, several times over. */
const RESETS = { burst: 1000, perSecond: 200 }
/** PING, SETTINGS, PRIORITY, empty DATA and what is unknown. */
const OTHERS = { burst: 1000, perSecond: 200 }

class TokenBucket {
  readonly #burst: number
  readonly #perMs: number
  #left: number
  #at: number

  constructor({ burst, perSecond }: { burst: number; perSecond: number }, now: number) {
    this.#burst = burst
    this.#perMs = perSecond / 1000
    this.#left = burst
    this.#at = now
  }

  take(now: number): boolean {
    this.#left = Math.min(this.#burst, this.#left + (now - this.#at) * this.#perMs)
    this.#at = now
    return --this.#left >= 0
  }
}

export class Floods {
  readonly #clock: { now(): number }
  readonly #resets: TokenBucket
  readonly #others: TokenBucket

  constructor(clock: { now(): number }) {
    this.#clock = clock
    this.#resets = new TokenBucket(RESETS, clock.now())
    this.#others = new TokenBucket(OTHERS, clock.now())
  }

  /** Throws `ConnectionError`, as the next. */
  reset(): void {
    if (!this.#resets.take(this.#clock.now())) throw new ConnectionError(ENHANCE_YOUR_CALM, 'too many resets')
  }

  count(): void {
    if (!this.#others.take(this.#clock.now()))
      throw new ConnectionError(ENHANCE_YOUR_CALM, 'too many frames that ask for nothing')
  }
}
