/**
 * A body that is passed on while it is collected, so that nobody waits for an answer to be complete because it is to be
 * kept. It is collected as fast as it comes, whoever reads it, up to a bound; what is longer is not kept, and from then on
 * read no faster than its reader reads.
 */
import { Condition } from '../../lib/condition.ts'

export class Tee implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #maxBytes: number
  readonly #changed = new Condition()
  #chunks: Uint8Array[] = []
  #length = 0
  #isCollecting = true
  #isOver = false
  #isLeft = false
  #error: Error | undefined

  constructor(source: AsyncIterable<Uint8Array>, maxBytes: number) {
    this.#source = source[Symbol.asyncIterator]()
    this.#maxBytes = maxBytes
  }

  /** To be called once. Resolves with all bytes; undefined: there are too many. Rejects where the source does. */
  async collected(): Promise<Uint8Array | undefined> {
    try {
      while (this.#length <= this.#maxBytes) {
        const { done, value } = await this.#source.next()
        if (done) {
          this.#isOver = true
          return Buffer.concat(this.#chunks, this.#length)
        }
        this.#chunks.push(value)
        this.#length += value.length
        this.#changed.notify()
      }
      this.#isCollecting = false
      if (this.#isLeft) await this.#source.return?.()
      return undefined
    } catch (error) {
      this.#isOver = true
      this.#error = error as Error
      throw error
    } finally {
      this.#changed.notify()
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    let at = 0
    try {
      for (;;) {
        const chunk = this.#chunks[at]
        if (chunk) {
          at++
          yield chunk
        } else if (this.#isOver) {
          if (this.#error) throw this.#error
          return
        } else if (!this.#isCollecting) {
          this.#chunks = []
          const { done, value } = await this.#source.next()
          if (done) return
          yield value
        } else await this.#changed.wait()
      }
    } finally {
      this.#isLeft = true
      if (!this.#isCollecting) await this.#source.return?.()
    }
  }
}
