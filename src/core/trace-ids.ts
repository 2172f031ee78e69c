/** Random ids of traces and spans. Random bytes are drawn for many at a time, since each drawing costs more than an id. */
import { randomFillSync } from 'node:crypto'

const TRACE_BYTES = 16
const SPAN_BYTES = 8

export class TraceIds {
  readonly #bytes = Buffer.alloc(4096)
  #used = this.#bytes.length

  trace(): string {
    return this.#next(TRACE_BYTES)
  }

  span(): string {
    return this.#next(SPAN_BYTES)
  }

  #next(bytes: number): string {
    if (this.#used + bytes > this.#bytes.length) {
      randomFillSync(this.#bytes)
      this.#used = 0
    }
    const id = this.#bytes.toString('hex', this.#used, this.#used + bytes)
    this.#used += bytes
    // All zeros mean that there is none.
    return /^0*$/.test(id) ? this.#next(bytes) : id
  }
}
