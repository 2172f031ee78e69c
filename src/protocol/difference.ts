/** How two answers to one call differ, in words that hold nothing of the answers but the names of their outputs. */
import type { Reply } from '../core/reply.ts'

/** An answer that is compared: its body is in one piece. */
export type ComparedReply = Reply & { readonly body: Uint8Array }

export interface Difference {
  /**
   * `status`: one server refused what the other answered. `shape`: other outputs, or other numbers of rows or values. `text`: other
   * words, or another structure. `value`: numbers beyond the tolerance of their type.
   */
  readonly what: 'status' | 'shape' | 'text' | 'value'
  /** The output, or the member of the answer; left out: there is no telling. */
  readonly output?: string
  /** The first row that differs, from 0, and how many do; left out: the answer has no rows, or cannot be cut into them. */
  readonly row?: number
  readonly rows?: number
  /** The largest difference of two numbers that are not within the tolerance; left out: they are no numbers. */
  readonly by?: number
}

const MAX_NAME = 64

/** The differences of two answers, gathered row by row. */
export class Differences {
  #first: Difference | undefined
  #row = -1
  #rows = 0
  #by: number | undefined

  /** `difference`: undefined where the row agrees. Rows of one output come in order. */
  add(output: string, row: number | undefined, difference: Difference | undefined): void {
    if (!difference) return
    this.#first ??= { ...difference, output: output.slice(0, MAX_NAME), ...(row !== undefined && { row }) }
    if (difference.by !== undefined) this.#by = Math.max(this.#by ?? 0, difference.by)
    // A row may differ in several outputs.
    if (row === undefined || row <= this.#row) return
    this.#row = row
    this.#rows++
  }

  get found(): Difference | undefined {
    if (!this.#first) return undefined
    const rows = this.#rows > 0 ? { rows: this.#rows } : {}
    return { ...this.#first, ...rows, ...(this.#by !== undefined && { by: this.#by }) }
  }
}
