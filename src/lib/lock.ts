/**
 * A mutex in shared memory, for critical sections of a few microseconds. Without contention it costs one
 * compare-and-exchange. A thread that finds it taken spins briefly and then sleeps, for at most the given time
 * (Drepper, "Futexes Are Tricky", 2011). The word holds the holder's number: when a thread dies inside the section, its
 * cleanup can detect that, repair what the lock guards, and free it.
 */

/** Flag in the word: at least one thread sleeps until the lock is free. */
const CONTENDED = 0x40000000
const SPINS = 200

export class Lock {
  readonly #words: Int32Array
  readonly #at: number
  readonly #holder: number

  /** @param holder this thread's number, from 1 */
  constructor(words: Int32Array, at: number, holder: number) {
    this.#words = words
    this.#at = at
    this.#holder = holder
  }

  /** Blocks the thread until it has the lock; returns false where that takes longer than `waitMs`. */
  acquire(waitMs: number): boolean {
    if (Atomics.compareExchange(this.#words, this.#at, 0, this.#holder) === 0) return true
    return this.#acquireSlowly(waitMs)
  }

  release(): void {
    const word = Atomics.exchange(this.#words, this.#at, 0)
    if ((word & CONTENDED) !== 0) Atomics.notify(this.#words, this.#at, 1)
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
        // Other threads may sleep as well: the flag is kept, or nobody would wake them.
        if (Atomics.compareExchange(words, at, 0, this.#holder | CONTENDED) === 0) return true
        continue
      }
      const left = deadline - performance.now()
      if (left <= 0) return false
      const marked = word | CONTENDED
      if (word === marked || Atomics.compareExchange(words, at, word, marked) === word)
        Atomics.wait(words, at, marked, left)
    }
  }
}

/**
 * True where the thread `holder` has the lock. Called after that thread has ended, when it can no longer release it.
 */
export function isHeldBy(words: Int32Array, at: number, holder: number): boolean {
  return (Atomics.load(words, at) & ~CONTENDED) === holder
}

/** Releases the lock of a thread that has ended. */
export function freeLock(words: Int32Array, at: number): void {
  Atomics.store(words, at, 0)
  Atomics.notify(words, at)
}
