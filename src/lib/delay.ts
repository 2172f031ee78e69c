/** A wait that can be cut short. */
import type { Clock } from './clock.ts'

export class Delay {
  readonly #clock: Pick<Clock, 'after'>
  #end: (() => void) | undefined

  constructor(clock: Pick<Clock, 'after'>) {
    this.#clock = clock
  }

  /** Resolves after `ms`, or as soon as it is cut short. One at a time. */
  async wait(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#clock.after(ms, resolve)
    this.#end = resolve
    await promise
    cancel()
    this.#end = undefined
  }

  /** Ends the wait; false where there is none. */
  cut(): boolean {
    this.#end?.()
    return this.#end !== undefined
  }
}
