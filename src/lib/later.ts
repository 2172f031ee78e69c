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

/** Who waits, as an object that is there anyway: two functions need not be made for it. */
export interface Taker<T> {
  took(value: T): void
  failed(error: unknown): void
}

const WAITING = 0
const DONE = 1
const FAILED = 2

export class Later<T> implements Coming<T> {
  #state = WAITING
  #outcome: unknown
  #taker: Taker<T> | undefined

  /** It has come, or failed. */
  get isSettled(): boolean {
    return this.#state !== WAITING
  }

  /** To be called once. A failure that nobody waits for is nobody's. */
  // oxlint-disable-next-line unicorn/no-thenable -- to be awaited is what it is for
  then(take: (value: T) => void, fail: (error: unknown) => void): void {
    this.into({ took: take, failed: fail })
  }

  /** As `then`. */
  into(taker: Taker<T>): void {
    if (this.#state === DONE) taker.took(this.#outcome as T)
    else if (this.#state === FAILED) taker.failed(this.#outcome)
    else this.#taker = taker
  }

  /** The first outcome stays. */
  settle(value: T): void {
    if (this.#state !== WAITING) return
    this.#state = DONE
    this.#outcome = value
    const taker = this.#taker
    this.#taker = undefined
    taker?.took(value)
  }

  fail(error: unknown): void {
    if (this.#state !== WAITING) return
    this.#state = FAILED
    this.#outcome = error
    const taker = this.#taker
    this.#taker = undefined
    taker?.failed(error)
  }
}

export function isComing<T>(value: T | Coming<T>): value is Coming<T> {
  return value instanceof Later || value instanceof Promise
}

/** Tells the taker what comes. */
export function hear<T>(source: Coming<T>, taker: Taker<T>): void {
  if (source instanceof Later) source.into(taker)
  else
    source.then(
      (value) => taker.took(value),
      (error) => taker.failed(error),
    )
}

/** What `make` makes of the value; what it throws is the failure. */
export function after<T, U>(source: Coming<T>, make: (value: T) => U | Coming<U>): Coming<U> {
  const made = new After(make)
  hear(source, made)
  return made
}

class After<T, U> extends Later<U> implements Taker<T | U> {
  /** Undefined once it was called: what comes then is the outcome. */
  #make: ((value: T) => U | Coming<U>) | undefined

  constructor(make: (value: T) => U | Coming<U>) {
    super()
    this.#make = make
  }

  took(value: T | U): void {
    const make = this.#make
    if (!make) return this.settle(value as U)
    this.#make = undefined
    try {
      const made = make(value as T)
      if (isComing(made)) hear<T | U>(made, this)
      else this.settle(made)
    } catch (error) {
      this.fail(error)
    }
  }

  failed(error: unknown): void {
    this.fail(error)
  }
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
