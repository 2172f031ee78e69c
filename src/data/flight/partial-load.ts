/** A part of a load: some of its rows, which are loaded together. */
import type { Digest } from '../../core/key.ts'
import type { Load } from './flights.ts'

/** Some rows of a load. Reports each landing, since other workers wait for it as well. */
export class PartialLoad<L> implements Load<L> {
  readonly digests: readonly Digest[]
  readonly #load: Load<L>
  readonly #landed: (digest: Digest) => void

  constructor(load: Load<L>, digests: readonly Digest[], landed: (digest: Digest) => void) {
    this.#load = load
    this.digests = digests
    this.#landed = landed
  }

  get signal(): Load<L>['signal'] {
    return this.#load.signal
  }

  get deadline(): number {
    return this.#load.deadline
  }

  get isJoined(): boolean {
    return this.#load.isJoined === true
  }

  get share(): Load<L>['share'] {
    return this.#load.share
  }

  set onPromoted(promoted: (() => void) | undefined) {
    this.#load.onPromoted = promoted
  }

  land(digest: Digest, result: L): void {
    this.#load.land(digest, result)
    this.#landed(digest)
  }
}
