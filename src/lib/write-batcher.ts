/**
 * Batches writes: what is sent in one turn of the event loop is written at its end, when all received data was read.
 * The receiver is woken once and finds all of it, and answers to pipelined requests become one write.
 */
export class WriteBatcher {
  // Counted apart: an array that is emptied gives its memory away, and would have to get it anew in each turn.
  #waiting: (BatchedWriter | undefined)[] = []
  #count = 0
  #spare: (BatchedWriter | undefined)[] = []
  readonly #send = (): void => this.#sendAll()

  /** Has `sender` flush before the next turn of the event loop. */
  add(sender: BatchedWriter): void {
    this.#waiting[this.#count++] = sender
    if (this.#count === 1) setImmediate(this.#send)
  }

  #sendAll(): void {
    const senders = this.#waiting
    const count = this.#count
    this.#waiting = this.#spare
    this.#count = 0
    for (let i = 0; i < count; i++) {
      const sender = senders[i] as BatchedWriter
      senders[i] = undefined
      sender.flush()
    }
    if (senders.length > MAX_KEPT) senders.length = 0
    this.#spare = senders
  }
}

interface BatchedWriter {
  flush(): void
}

/** After a turn with more senders, the memory of their list is given back. */
const MAX_KEPT = 1024
