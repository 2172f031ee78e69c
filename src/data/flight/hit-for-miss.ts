/**
 * Hit-for-miss marks: keys whose answers turned out not to be cacheable (Varnish uses the same name). Calls for them do
 * not join flights, which would serve them one after the other. The first answer that can be stored lifts the mark.
 */
import type { Digest } from '../../core/key.ts'
import type { Clock } from '../../lib/clock.ts'

const LIFE_MS = 120_000
const MAX_MARKERS = 10_000

export class HitForMiss {
  readonly #until = new Map<Digest, number>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  has(digest: Digest): boolean {
    if (this.#until.size === 0) return false
    const until = this.#until.get(digest)
    if (until === undefined) return false
    if (until > this.#clock.now()) return true
    this.#until.delete(digest)
    return false
  }

  set(digest: Digest): void {
    this.#until.delete(digest)
    this.#until.set(digest, this.#clock.now() + LIFE_MS)
    if (this.#until.size > MAX_MARKERS) this.#until.delete(this.#until.keys().next().value as Digest)
  }

  lift(digest: Digest): void {
    this.#until.delete(digest)
  }
}
