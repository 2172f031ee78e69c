/**
 * A condition variable for one waiter. The loop of events is its lock: whoever waits looks at what it waits for, waits, and
 * looks again; a notification that nobody waits for is lost, and need not be kept.
 */
export class Condition {
  #wake: (() => void) | undefined

  /** Something has changed that may be waited for. */
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
