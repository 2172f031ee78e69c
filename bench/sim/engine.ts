/**
 * The discrete-event engine under every simulation: a virtual clock and a heap of events.
 *
 * It is a `Clock`, so production code that takes one runs on it unchanged, hours of load in seconds. Events
 * of the same instant run in the order they were scheduled, which makes a run a function of its seed alone.
 */
import type { Clock } from '../../src/lib/clock.ts'

/** What happens at an instant; `argument` is the number given when it was scheduled. */
export type Happening = (argument: number) => void

const none: Happening = () => {}

export class Engine implements Clock {
  #now = 0
  #epoch: number
  #sequence = 0
  #size = 0
  // An event is a slot in these columns; the heap orders slots. No object is allocated for an event.
  #heap = new Int32Array(64)
  #time = new Float64Array(64)
  #order = new Float64Array(64)
  #argument = new Float64Array(64)
  #run: Happening[] = []
  #free: number[] = []

  /** @param epochMs what `wall()` says at virtual time zero, milliseconds since the Unix epoch */
  constructor(epochMs = Date.UTC(2026, 0, 5)) {
    this.#epoch = epochMs
  }

  now(): number {
    return this.#now
  }

  wall(): number {
    return this.#epoch + this.#now
  }

  /** How many events are waiting, cancelled ones included until their time comes. */
  get pending(): number {
    return this.#size
  }

  after(ms: number, run: () => void): () => void {
    let wanted: (() => void) | undefined = run
    this.at(this.#now + Math.max(0, ms), () => wanted?.())
    return () => {
      wanted = undefined
    }
  }

  /** Runs `run(argument)` at virtual time `at`, which is never earlier than now. Allocates nothing. */
  at(at: number, run: Happening, argument = 0): void {
    if (Number.isNaN(at)) throw new Error('an event needs a time; got NaN')
    const slot = this.#free.pop() ?? this.#size
    if (this.#size === this.#heap.length) this.#grow()
    this.#time[slot] = Math.max(at, this.#now)
    this.#order[slot] = this.#sequence++
    this.#argument[slot] = argument
    this.#run[slot] = run
    this.#rise(this.#size++, slot)
  }

  /** Runs `run` at once and then every `periodMs` until it returns false. */
  every(periodMs: number, run: () => boolean | void): void {
    const turn = () => {
      if (run() !== false) this.at(this.#now + periodMs, turn)
    }
    turn()
  }

  /** Runs everything due up to and including `until`, then stands at `until`. */
  run(until: number): void {
    while (this.#size > 0) {
      const slot = this.#heap[0] ?? 0
      const time = this.#time[slot] ?? 0
      if (time > until) break
      this.#now = time
      this.#take(slot)
    }
    this.#now = Math.max(this.#now, until)
  }

  #take(slot: number): void {
    const run = this.#run[slot] ?? none
    const argument = this.#argument[slot] ?? 0
    this.#run[slot] = none
    this.#free.push(slot)
    const last = this.#heap[--this.#size] ?? 0
    if (this.#size > 0) this.#sink(last)
    run(argument)
  }

  #isBefore(a: number, b: number): boolean {
    const [first = 0, second = 0] = [this.#time[a], this.#time[b]]
    return first < second || (first === second && (this.#order[a] ?? 0) < (this.#order[b] ?? 0))
  }

  #rise(from: number, slot: number): void {
    let at = from
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = this.#heap[above] ?? 0
      if (!this.#isBefore(slot, parent)) break
      this.#heap[at] = parent
      at = above
    }
    this.#heap[at] = slot
  }

  #sink(slot: number): void {
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= this.#size) break
      if (below + 1 < this.#size && this.#isBefore(this.#heap[below + 1] ?? 0, this.#heap[below] ?? 0))
        below++
      const child = this.#heap[below] ?? 0
      if (!this.#isBefore(child, slot)) break
      this.#heap[at] = child
      at = below
    }
    this.#heap[at] = slot
  }

  #grow(): void {
    const size = this.#heap.length * 2
    const heap = new Int32Array(size)
    heap.set(this.#heap)
    this.#heap = heap
    for (const column of ['time', 'order', 'argument'] as const) this.#widen(column, size)
  }

  #widen(column: 'time' | 'order' | 'argument', size: number): void {
    const wider = new Float64Array(size)
    if (column === 'time') {
      wider.set(this.#time)
      this.#time = wider
    } else if (column === 'order') {
      wider.set(this.#order)
      this.#order = wider
    } else {
      wider.set(this.#argument)
      this.#argument = wider
    }
  }
}
