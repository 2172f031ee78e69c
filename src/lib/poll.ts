/** Work that is done again and again, with a pause between the end of one round and the beginning of the next. */
import type { Clock } from './clock.ts'

export interface PollOptions {
  readonly clock: Clock
  /** The pause, in milliseconds. */
  readonly ms: number
  readonly run: () => Promise<void>
  /** Told of a round that failed; the next one comes all the same. */
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

  /** A round that is under way is not ended, and is the last. */
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
          // Where it was stopped and started again meanwhile, another round is planned already.
          if (this.#cancel === cancel) this.#plan()
        })
    })
    this.#cancel = cancel
  }
}
