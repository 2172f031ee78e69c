/**
 * A value that comes later, for one taker. A promise tells its takers in a turn of its own and makes several objects for each
 * step; on the way of a call through the gateway, which has a dozen steps and waits once, that costs more than the steps
 * do. A Later tells in the same turn, whoever waits for it is one function, and a class that does the work can be its
 * own Later. It can be awaited like a promise where that is simpler.
 */

/** What may be waited for: a Later, or a promise. Takers of a Later must not throw. */
export interface Awaitable<T> {
  then(take: (value: T) => void, fail: (error: unknown) => void): unknown
}

/** Who waits, as an object that is there anyway: two functions need not be made for it. */
export interface Listener<T> {
  onValue(value: T): void
  onError(error: unknown): void
}

const WAITING = 0
const DONE = 1
const FAILED = 2

export class Deferred<T> implements Awaitable<T> {
  #state = WAITING
  #outcome: unknown
  #taker: Listener<T> | undefined

  /** It has come, or failed. */
  get isSettled(): boolean {
    return this.#state !== WAITING
  }

  /** To be called once. A failure that nobody waits for is nobody's. */
  // oxlint-disable-next-line unicorn/no-thenable -- to be awaited is what it is for
  then(take: (value: T) => void, fail: (error: unknown) => void): void {
    this.into({ onValue: take, onError: fail })
  }

  /** As `then`. */
  into(taker: Listener<T>): void {
    if (this.#state === DONE) taker.onValue(this.#outcome as T)
    else if (this.#state === FAILED) taker.onError(this.#outcome)
    else this.#taker = taker
  }

  /** The first outcome stays. */
  settle(value: T): void {
    if (this.#state !== WAITING) return
    this.#state = DONE
    this.#outcome = value
    const taker = this.#taker
    this.#taker = undefined
    taker?.onValue(value)
  }

  fail(error: unknown): void {
    if (this.#state !== WAITING) return
    this.#state = FAILED
    this.#outcome = error
    const taker = this.#taker
    this.#taker = undefined
    taker?.onError(error)
  }
}

export function isAwaitable<T>(value: T | Awaitable<T>): value is Awaitable<T> {
  return value instanceof Deferred || value instanceof Promise
}

/** Tells the taker what comes. */
export function subscribe<T>(source: Awaitable<T>, taker: Listener<T>): void {
  if (source instanceof Deferred) source.into(taker)
  else
    source.then(
      (value) => taker.onValue(value),
      (error) => taker.onError(error),
    )
}

/** What `make` makes of the value; what it throws is the failure. */
export function after<T, U>(source: Awaitable<T>, make: (value: T) => U | Awaitable<U>): Awaitable<U> {
  const made = new After(make)
  subscribe(source, made)
  return made
}

class After<T, U> extends Deferred<U> implements Listener<T | U> {
  /** Undefined once it was called: what comes then is the outcome. */
  #make: ((value: T) => U | Awaitable<U>) | undefined

  constructor(make: (value: T) => U | Awaitable<U>) {
    super()
    this.#make = make
  }

  onValue(value: T | U): void {
    const make = this.#make
    if (!make) return this.settle(value as U)
    this.#make = undefined
    try {
      const made = make(value as T)
      if (isAwaitable(made)) subscribe<T | U>(made, this)
      else this.settle(made)
    } catch (error) {
      this.fail(error)
    }
  }

  onError(error: unknown): void {
    this.fail(error)
  }
}

/** All values, in order; fails with the first failure. */
export function all<T>(sources: readonly Awaitable<T>[]): Awaitable<readonly T[]> {
  const made = new Deferred<readonly T[]>()
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
