/**
 * A hashed timing wheel (Varghese and Lauck, 1987), for deadlines of which nearly all are met. Arming and disarming a
 * timer is a few writes, without a timer of the runtime. A timer never fires early, and at most one tick late.
 */
import type { Clock } from './clock.ts'

/** A reusable deadline that belongs to one wheel; `timer` makes it. */
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

  /** @param tickMs how late a timer may fire */
  constructor(clock: Clock, tickMs = 10) {
    this.#clock = clock
    this.#tickMs = tickMs
    this.#tick = this.#tickOf(clock.now())
  }

  /** Number of armed timers. */
  get size(): number {
    return this.#linked
  }

  /** The time of this wheel's clock. */
  now(): number {
    return this.#clock.now()
  }

  /** Arms or re-arms the timer to fire in `ms`. `now`: the time, where the caller has read the clock already. */
  arm(timer: Timer, ms: number, now = this.#clock.now()): void {
    const due = now + ms
    // A timer that is put off stays in its slot until that slot is due: the usual case costs one write.
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
    // A deadline more than one revolution ahead is checked once a revolution.
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
      // A timer that fired may have disarmed or put off another one.
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
