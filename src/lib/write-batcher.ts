/**
 * Batches writes: what is sent in one turn of the event loop is written at its end, when all received data was read.
 * The receiver is woken once and finds all of it, and answers to pipelined requests become one write.
 */
export class WriteBatcher {
  #waiting: { flush(): void }[] = []
  #spare: { flush(): void }[] = []
  readonly #send = (): void => this.#sendAll()

  /** Has `sender` flush before the next turn of the event loop. */
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
