/**
 * Measures for how long the event loop of this thread was blocked, by how late a timer fires. Answers that wait in the
 * socket meanwhile are late because of the gateway. If that time were charged to the backends, one pause would make
 * every busy backend look slow.
 */
import type { Clock } from './clock.ts'

const PERIOD_MS = 20
/** Lateness of a timer that is normal and not counted. */
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

  /** Blocked milliseconds so far, including a pause that has just ended and whose timer has not fired yet. */
  total(now = this.#clock.now()): number {
    return this.#sum + Math.max(0, now - this.#dueAt - SLACK_MS)
  }
}
