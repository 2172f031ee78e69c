/**
 * What waits to be sent to a collector: a bounded queue, sent in batches one after the other. A collector that is slow, full or away
 * makes nobody wait; what does not fit, or could not be sent, is lost and counted.
 */
export interface ExportQueueParts<T> {
  /** Sends a batch; resolves with whether it was taken, within a deadline of its own. Never rejects. */
  readonly send: (batch: readonly T[]) => Promise<boolean>
  readonly counted: (outcome: 'exported' | 'lost', items: number) => void
  /** How long items are collected before they are sent. */
  readonly delayMs?: number
}

const MAX_QUEUED = 4096
const BATCH = 256
const DELAY_MS = 1000

export class ExportQueue<T> {
  readonly #parts: ExportQueueParts<T>
  #queue: T[] = []
  #timer: NodeJS.Timeout | undefined
  #sending: Promise<void> | undefined

  constructor(parts: ExportQueueParts<T>) {
    this.#parts = parts
  }

  add(item: T): void {
    if (this.#queue.length >= MAX_QUEUED) return this.#parts.counted('lost', 1)
    this.#queue.push(item)
    if (this.#queue.length >= BATCH) void this.flush()
    else this.#timer ??= setTimeout(() => void this.flush(), this.#parts.delayMs ?? DELAY_MS)
  }

  /** Sends what is there. */
  flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined
    })
    return this.#sending
  }

  async #send(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, BATCH)
      const isTaken = await this.#parts.send(batch)
      this.#parts.counted(isTaken ? 'exported' : 'lost', batch.length)
    }
  }
}
