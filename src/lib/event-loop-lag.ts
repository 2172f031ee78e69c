/**
 * How long this thread could not look: a timer that comes late tells. Answers that wait in the socket meanwhile are late by
 * our fault; charged to the backends, one pause of ours would make all busy ones look as slow as a
 * slow one, and its next call would go there.
 */
import type { Clock } from './clock.ts'

const PERIOD_MS = 20
/** Timers are this late without anybody's fault. */
const SLACK_MS = 5

export class EventLoopLag {
  readonly #clock: Clock
  #sum = 0
  #dueAt = Infinity
  #cancel: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  start(): void {
    this.#dueAt = this.#clock.now() + PERIOD_MS
    this.#cancel = this.#clock.after(PERIOD_MS, () => {
      this.#sum = this.total()
      this.start()
    })
  }

  stop(): void {
    this.#sum = this.total()
    this.#dueAt = Infinity
    this.#cancel?.()
  }

  /** Milliseconds so far, the stall that is just over included, whether or not the timer has come since. */
  total(now = this.#clock.now()): number {
    return this.#sum + Math.max(0, now - this.#dueAt - SLACK_MS)
  }
}
