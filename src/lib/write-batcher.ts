/**
 * What is sent in one turn of the event loop leaves together at its end, when all that has arrived is read: whoever is
 * woken by the first finds work until the last, so the system wakes it once; and answers to pipelined requests are one write.
 */
export class WriteBatcher {
  #waiting: { flush(): void }[] = []
  #spare: { flush(): void }[] = []
  readonly #send = (): void => this.#sendAll()

  /** `sender` is asked to flush before the next turn. */
  add(sender: { flush(): void }): void {
    if (this.#waiting.push(sender) === 1) setImmediate(this.#send)
  }

  #sendAll(): void {
    const senders = this.#waiting
    this.#waiting = this.#spare
    for (const sender of senders) sender.flush()
    senders.length = 0
    this.#spare = senders
  }
}
