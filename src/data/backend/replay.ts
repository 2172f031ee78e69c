import { Chunks } from '../../core/chunks.ts'

/** How much of a body is kept. */
export const REPLAY_BYTES = 1024 * 1024

/**
 * A request body that can be sent twice. It is forwarded as it arrives, and kept up to a bound, so that a call that streams
 * can still be sent to another backend when the first one fails early.
 */
export class Replay implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #maxBytes: number
  #kept: Uint8Array[] | undefined = []
  #keptBytes = 0
  #sourceDone = false
  #turn = 0

  constructor(source: AsyncIterable<Uint8Array>, maxBytes: number) {
    this.#source = source[Symbol.asyncIterator]()
    this.#maxBytes = maxBytes
  }

  /** False once the body has exceeded the bound: its beginning was dropped. */
  get replayable(): boolean {
    return this.#kept !== undefined
  }

  /** All of it, once it has arrived; undefined: it has not, or has exceeded the bound. */
  get whole(): Chunks | undefined {
    return this.#sourceDone && this.#kept ? new Chunks(this.#kept) : undefined
  }

  /** The body from its first byte. An older reading ends where the new one begins. */
  async *read(): AsyncGenerator<Uint8Array> {
    const turn = ++this.#turn
    for (const chunk of [...(this.#kept ?? [])]) yield chunk
    while (!this.#sourceDone && turn === this.#turn) {
      const next = await this.#source.next()
      if (next.done) {
        this.#sourceDone = true
        return
      }
      this.#keep(next.value)
      if (turn === this.#turn) yield next.value
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    return this.read()
  }

  #keep(chunk: Uint8Array): void {
    if (!this.#kept) return
    this.#keptBytes += chunk.length
    if (this.#keptBytes > this.#maxBytes) this.#kept = undefined
    else this.#kept.push(chunk)
  }
}
