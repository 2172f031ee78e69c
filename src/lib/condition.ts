/**
 * A condition variable for one waiter. Its lock is the event loop: the waiter checks its condition, waits, and checks
 * again. A notification without a waiter is dropped, because the waiter checks before it waits.
 */
export class Condition {
  #wake: (() => void) | undefined

  /** Wakes the waiter, if there is one. */
  notify(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  /** Resolves with the next notification. */
  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}
