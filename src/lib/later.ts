/**
 * A value that comes later, for one taker. A promise tells its takers in a turn of its own and makes several objects for each
 * step; on the way of a call through the gateway, which has a dozen steps and waits once, that costs more than the steps
 * do. A Later tells in the same turn, whoever waits for it is one function, and a class that does the work can be its
 * own Later. It can be awaited like a promise where that is simpler.
 */

/** What may be waited for: a Later, or a promise. Takers of a Later must not throw. */
export interface Coming<T> {
  then(take: (value: T) => void, fail: (error: unknown) => void): unknown
}

const WAITING = 0
const DONE = 1
const FAILED = 2

export class Later<T> implements Coming<T> {
  #state = WAITING
  #outcome: unknown
  #take: ((value: T) => void) | undefined
  #fail: ((error: unknown) => void) | undefined

  /** It has come, or failed. */
  get isSettled(): boolean {
    return this.#state !== WAITING
  }

  /** To be called once. A failure that nobody waits for is nobody's. */
  // oxlint-disable-next-line unicorn/no-thenable -- to be awaited is what it is for
  then(take: (value: T) => void, fail: (error: unknown) => void): void {
    if (this.#state === DONE) take(this.#outcome as T)
    else if (this.#state === FAILED) fail(this.#outcome)
    else {
      this.#take = take
      this.#fail = fail
    }
  }

  /** The first outcome stays. */
  settle(value: T): void {
    if (this.#state !== WAITING) return
    this.#state = DONE
    this.#outcome = value
    const take = this.#take
    this.#take = this.#fail = undefined
    take?.(value)
  }

  fail(error: unknown): void {
    if (this.#state !== WAITING) return
    this.#state = FAILED
    this.#outcome = error
    const fail = this.#fail
    this.#take = this.#fail = undefined
    fail?.(error)
  }

  /** Takes the outcome of another. */
  follow(source: T | Coming<T>): void {
    if (isComing(source))
      source.then(
        (value) => this.settle(value),
        (error) => this.fail(error),
      )
    else this.settle(source)
  }
}

export function isComing<T>(value: T | Coming<T>): value is Coming<T> {
  return value instanceof Later || value instanceof Promise
}

/** What `make` makes of the value; what it throws is the failure. */
export function after<T, U>(source: Coming<T>, make: (value: T) => U | Coming<U>): Coming<U> {
  const made = new Later<U>()
  source.then(
    (value) => {
      try {
        made.follow(make(value))
      } catch (error) {
        made.fail(error)
      }
    },
    (error) => made.fail(error),
  )
  return made
}

/** All values, in order; fails with the first failure. */
export function all<T>(sources: readonly Coming<T>[]): Coming<readonly T[]> {
  const made = new Later<readonly T[]>()
  const values = new Array<T>(sources.length)
  let missing = sources.length
  if (missing === 0) made.settle(values)
  for (const [at, source] of sources.entries())
    source.then(
      (value) => {
        values[at] = value
        if (--missing === 0) made.settle(values)
      },
      (error) => made.fail(error),
    )
  return made
}
