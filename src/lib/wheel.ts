/**
 * A hashed timing wheel (Varghese and Lauck, 1987): deadlines of which nearly all are met. Arming and
 * disarming one is a few writes, and no timer of the runtime is made for it. Never early, late by at most a tick.
 */
import type { Clock } from './clock.ts'

/** A deadline that can be set again and again; belongs to one wheel. As `timer` makes it at first. */
export interface Timer {
  /** Monotonic milliseconds at which it fires; Infinity while it is not to fire. Written by the wheel only. */
  due: number
  slot: number
  previous: Timer | undefined
  next: Timer | undefined
  run(): void
}

export function timer(run: () => void): Timer {
  return { due: Number.POSITIVE_INFINITY, slot: -1, previous: undefined, next: undefined, run }
}

const SLOTS = 1024

export class Wheel {
  readonly #clock: Clock
  readonly #tickMs: number
  readonly #heads: (Timer | undefined)[] = new Array<Timer | undefined>(SLOTS).fill(undefined)
  /** The last tick that was looked at. */
  #tick: number
  #linked = 0
  #wakeAt = Number.POSITIVE_INFINITY
  #cancelWake: () => void = () => {}

  /** `tickMs`: how late a deadline may fire. */
  constructor(clock: Clock, tickMs = 10) {
    this.#clock = clock
    this.#tickMs = tickMs
    this.#tick = this.#tickOf(clock.now())
  }

  /** Timers that are armed. */
  get size(): number {
    return this.#linked
  }

  /** Of the clock that the deadlines are of. */
  now(): number {
    return this.#clock.now()
  }

  /** Sets the timer to fire in `ms`, whatever it was set to before. `now`: for whoever has read the clock already. */
  arm(timer: Timer, ms: number, now = this.#clock.now()): void {
    const due = now + ms
    // A later deadline keeps its place until that comes up: the usual case costs one write.
    if (timer.slot >= 0 && due >= timer.due) {
      timer.due = due
      return
    }
    if (timer.slot >= 0) this.#unlink(timer)
    timer.due = due
    this.#link(timer, now)
  }

  /** The timer does not fire until it is armed again. */
  disarm(timer: Timer): void {
    if (timer.slot >= 0) this.#unlink(timer)
    timer.due = Number.POSITIVE_INFINITY
  }

  close(): void {
    this.#cancelWake()
    this.#wakeAt = Number.POSITIVE_INFINITY
    this.#heads.fill(undefined)
    this.#linked = 0
  }

  #tickOf(ms: number): number {
    return Math.floor(ms / this.#tickMs)
  }

  #link(timer: Timer, now: number): void {
    const tick = Math.max(this.#tickOf(timer.due), this.#tick + 1)
    const slot = tick % SLOTS
    const head = this.#heads[slot]
    timer.slot = slot
    timer.previous = undefined
    timer.next = head
    if (head) head.previous = timer
    this.#heads[slot] = timer
    this.#linked++
    // What lies more than one turn ahead is looked at once a turn.
    this.#wakeBy(Math.min(tick, this.#tickOf(now) + SLOTS - 1))
  }

  #unlink(timer: Timer): void {
    const { previous, next } = timer
    if (previous) previous.next = next
    else this.#heads[timer.slot] = next
    if (next) next.previous = previous
    timer.previous = undefined
    timer.next = undefined
    timer.slot = -1
    this.#linked--
  }

  #wakeBy(tick: number): void {
    const at = (tick + 1) * this.#tickMs
    if (at >= this.#wakeAt) return
    this.#cancelWake()
    this.#wakeAt = at
    this.#cancelWake = this.#clock.after(Math.max(0, at - this.#clock.now()), () => this.#woken())
  }

  #woken(): void {
    this.#wakeAt = Number.POSITIVE_INFINITY
    const now = this.#clock.now()
    // A tick is over when its last instant has passed.
    const last = this.#tickOf(now) - 1
    const first = Math.max(this.#tick + 1, last - SLOTS + 1)
    this.#tick = Math.max(this.#tick, last)
    for (let tick = first; tick <= last; tick++) this.#pass(tick % SLOTS, now)
    if (this.#linked > 0) this.#wakeBy(this.#nextTick())
  }

  #pass(slot: number, now: number): void {
    let at = this.#heads[slot]
    this.#heads[slot] = undefined
    const fired: Timer[] = []
    for (; at; ) {
      const timer = at
      at = timer.next
      timer.previous = undefined
      timer.next = undefined
      timer.slot = -1
      this.#linked--
      if (timer.due <= now) fired.push(timer)
      else this.#link(timer, now)
    }
    for (const timer of fired) {
      // One that fired may have disarmed or put off another.
      if (timer.slot >= 0 || timer.due > now) continue
      timer.due = Number.POSITIVE_INFINITY
      timer.run()
    }
  }

  #nextTick(): number {
    for (let ahead = 1; ahead < SLOTS; ahead++)
      if (this.#heads[(this.#tick + ahead) % SLOTS]) return this.#tick + ahead
    return this.#tick + SLOTS - 1
  }
}
