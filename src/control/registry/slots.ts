/**
 * Allocates indexes in the shared counters. A slot belongs to one backend; once free it rests, so that a call still
 * running on the old backend does not count against the new one.
 */
import { BOUNDS } from './registration.ts'

/** Backends that leave, and slots that rest, do not keep newcomers out: a list may be replaced as a whole. */
export const SLOTS = 2 * BOUNDS.backends

const REST_MS = 60_000

export class Slots {
  readonly #size: number
  readonly #resting: { slot: number; freedAt: number }[] = []
  #fresh = 0

  constructor(size: number) {
    this.#size = size
  }

  /** Allocates a free slot; undefined when all are in use or resting. `now` is monotonic milliseconds. */
  allocate(now: number): number | undefined {
    const oldest = this.#resting[0]
    if (oldest && now - oldest.freedAt >= REST_MS) return this.#resting.shift()?.slot
    return this.#fresh < this.#size ? this.#fresh++ : undefined
  }

  free(slot: number, now: number): void {
    this.#resting.push({ slot, freedAt: now })
  }
}
