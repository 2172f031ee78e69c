/** A Clock the test owns: time stands still until `advance`, which runs what falls due, in order. */
import type { Clock } from '../../src/lib/clock.ts'

interface Timer {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

export class FakeClock implements Clock {
  #now = 1_000
  #wall = 1_700_000_000_000
  #order = 0
  readonly #timers = new Set<Timer>()

  now(): number {
    return this.#now
  }

  wall(): number {
    return this.#wall
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, ms), order: this.#order++, run }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  /** Timers not yet run or cancelled: a part that was closed leaves none. */
  get pending(): number {
    return this.#timers.size
  }

  /** Steps the wall clock, as NTP may; nothing falls due by that. */
  step(ms: number): void {
    this.#wall += ms
  }

  /** Lets `ms` pass; every timer runs at its own time. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.#timers.delete(next)
      this.#pass(next.at)
      next.run()
    }
    this.#pass(end)
  }

  /** Time passes, but no timer runs until it is over: a stopped process or a blocked event loop. */
  stall(ms: number): void {
    this.#pass(this.#now + ms)
    this.advance(0)
  }

  /** The wall clock is set, as NTP or a person may do. */
  setWall(wall: number): void {
    this.#wall = wall
  }

  /** The wall clock is stepped by `ms`, apart from the monotonic time. */
  stepWall(ms: number): void {
    this.#wall += ms
  }

  #next(end: number): Timer | undefined {
    let found: Timer | undefined
    for (const timer of this.#timers) {
      if (timer.at > end) continue
      if (!found || timer.at < found.at || (timer.at === found.at && timer.order < found.order)) found = timer
    }
    return found
  }

  #pass(to: number): void {
    this.#wall += Math.max(0, to - this.#now)
    this.#now = Math.max(this.#now, to)
  }
}
