/**
 * A lock in shared memory, for sections of a few microseconds: free, it costs one compare-and-exchange. Whoever finds it
 * taken spins for a moment and then sleeps until it is given up, but never longer than asked (Drepper, "Futexes Are
 * Tricky", 2011). The word names its holder, so that when a thread dies inside, whoever buries it can tell, mend what
 * the lock guards, and free it.
 */

/** Somebody sleeps until the lock is free. */
const AWAITED = 0x40000000
const SPINS = 200

export class Lock {
  readonly #words: Int32Array
  readonly #at: number
  readonly #holder: number

  /** `holder`: this thread's number, from 1. */
  constructor(words: Int32Array, at: number, holder: number) {
    this.#words = words
    this.#at = at
    this.#holder = holder
  }

  /** False: not to be had within `waitMs`. The thread stands still meanwhile. */
  acquire(waitMs: number): boolean {
    if (Atomics.compareExchange(this.#words, this.#at, 0, this.#holder) === 0) return true
    return this.#acquireSlowly(waitMs)
  }

  release(): void {
    const word = Atomics.exchange(this.#words, this.#at, 0)
    if ((word & AWAITED) !== 0) Atomics.notify(this.#words, this.#at, 1)
  }

  #acquireSlowly(waitMs: number): boolean {
    const words = this.#words
    const at = this.#at
    for (let spin = 0; spin < SPINS; spin++) {
      Atomics.pause()
      if (Atomics.load(words, at) === 0 && Atomics.compareExchange(words, at, 0, this.#holder) === 0)
        return true
    }
    const deadline = performance.now() + waitMs
    for (;;) {
      const word = Atomics.load(words, at)
      if (word === 0) {
        // Others may sleep as well: taken with their mark, or they would not be woken.
        if (Atomics.compareExchange(words, at, 0, this.#holder | AWAITED) === 0) return true
        continue
      }
      const left = deadline - performance.now()
      if (left <= 0) return false
      const marked = word | AWAITED
      if (word === marked || Atomics.compareExchange(words, at, word, marked) === word)
        Atomics.wait(words, at, marked, left)
    }
  }
}

/** True where the thread `holder` has the lock; asked once it has ended, when it cannot give it up any more. */
export function isHeldBy(words: Int32Array, at: number, holder: number): boolean {
  return (Atomics.load(words, at) & ~AWAITED) === holder
}

/** Gives up a lock for a thread that has ended. */
export function freeLock(words: Int32Array, at: number): void {
  Atomics.store(words, at, 0)
  Atomics.notify(words, at)
}
