/** Runs work repeatedly, with a pause between the end of one round and the beginning of the next. */
import type { Clock } from './clock.ts'

export interface PollOptions {
  readonly clock: Clock
  /** The pause, in milliseconds. */
  readonly ms: number
  readonly run: () => Promise<unknown>
  /** Called with the error of a failed round; the next round runs all the same. */
  readonly failed: (error: unknown) => void
}

export class Poll {
  readonly #options: PollOptions
  /** Undefined: stopped. */
  #cancel: (() => void) | undefined

  constructor(options: PollOptions) {
    this.#options = options
  }

  /** The first round begins after one pause. */
  start(): void {
    if (!this.#cancel) this.#plan()
  }

  /** Starts no further round. A round that runs is not interrupted. */
  stop(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }

  #plan(): void {
    const { clock, ms, run, failed } = this.#options
    const cancel = clock.after(ms, () => {
      void run()
        .catch(failed)
        .finally(() => {
          // If it was stopped and started again during the round, the next round is planned already.
          if (this.#cancel === cancel) this.#plan()
        })
    })
    this.#cancel = cancel
  }
}
