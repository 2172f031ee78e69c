/**
 * A cheap promise for one listener. A promise calls its listeners in a microtask and allocates several objects for each
 * step. A call passes a dozen steps and waits once, so that would cost more than the steps themselves. A Deferred calls
 * its listener synchronously, the listener is an existing object, and a class that does the work can itself be the
 * Deferred. It can also be awaited like a promise.
 */

/** A Deferred or a promise. Listeners of a Deferred must not throw. */
export interface Awaitable<T> {
  then(onValue: (value: T) => void, fail: (error: unknown) => void): unknown
}

/** Receives the outcome. An existing object implements it, so that no two closures need be made. */
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
  #listener: Listener<T> | undefined

  /** True once there is a value or an error. */
  get isSettled(): boolean {
    return this.#state !== WAITING
  }

  /** May be called once. An error without a listener is dropped. */
  // oxlint-disable-next-line unicorn/no-thenable -- to be awaited is what it is for
  then(onValue: (value: T) => void, fail: (error: unknown) => void): void {
    this.subscribe({ onValue, onError: fail })
  }

  /** Like `then`, with a listener object. */
  subscribe(listener: Listener<T>): void {
    if (this.#state === DONE) listener.onValue(this.#outcome as T)
    else if (this.#state === FAILED) listener.onError(this.#outcome)
    else this.#listener = listener
  }

  /** Settles once: later calls have no effect. */
  settle(value: T): void {
    if (this.#state !== WAITING) return
    this.#state = DONE
    this.#outcome = value
    const listener = this.#listener
    this.#listener = undefined
    listener?.onValue(value)
  }

  fail(error: unknown): void {
    if (this.#state !== WAITING) return
    this.#state = FAILED
    this.#outcome = error
    const listener = this.#listener
    this.#listener = undefined
    listener?.onError(error)
  }
}

export function isAwaitable<T>(value: T | Awaitable<T>): value is Awaitable<T> {
  return value instanceof Deferred || value instanceof Promise
}

/** Passes the outcome of `source` to the listener. */
export function subscribe<T>(source: Awaitable<T>, listener: Listener<T>): void {
  if (source instanceof Deferred) source.subscribe(listener)
  else
    source.then(
      (value) => listener.onValue(value),
      (error) => listener.onError(error),
    )
}

/** The result of `make` for the value of `source`. What `make` throws becomes the error. */
export function after<T, U>(source: Awaitable<T>, make: (value: T) => U | Awaitable<U>): Awaitable<U> {
  const made = new After(make)
  subscribe(source, made)
  return made
}

class After<T, U> extends Deferred<U> implements Listener<T | U> {
  /** Undefined once it was called: the next value is then the outcome. */
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

/** All values, in the order of `sources`. Fails with the first error. */
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
