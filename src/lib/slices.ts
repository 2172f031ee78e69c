/**
 * Long work in the thread of the calls, a slice at a time: after each slice it rests, so that it takes no more than a share of the
 * thread's time, and calls that have arrived meanwhile go first.
 */
import type { Clock } from './clock.ts'
import { nextTurn } from './cooperative.ts'

/** A slice that takes longer is a call that waits. */
export const SLICE_MS = 0.5

export class Slices {
  readonly #clock: Pick<Clock, 'now' | 'after'>
  readonly #share: () => number
  #since: number

  /** `share`: of the thread's time, above 0; 1: it rests for a turn of the event loop. */
  constructor(clock: Pick<Clock, 'now' | 'after'>, share: () => number) {
    this.#clock = clock
    this.#share = share
    this.#since = clock.now()
  }

  /** Whether the present slice is over. */
  get isOver(): boolean {
    return this.#clock.now() - this.#since >= SLICE_MS
  }

  /** Resolves when the next slice may begin. */
  async rest(): Promise<void> {
    const busyMs = this.#clock.now() - this.#since
    const share = this.#share()
    if (share >= 1) await nextTurn()
    else await new Promise<void>((resolve) => void this.#clock.after(busyMs * (1 / share - 1), resolve))
    this.#since = this.#clock.now()
  }

  /** Waits for something else, which takes no time of the thread. */
  async aside<T>(other: Promise<T>): Promise<T> {
    const busyMs = this.#clock.now() - this.#since
    const result = await other
    this.#since = this.#clock.now() - busyMs
    return result
  }
}
