/**
 * A first-in, first-out log of records in one region of the arena: records are appended at the head and
 * leave at the tail, so there is no free list and no fragmentation. Positions and sizes are in cells of
 * eight bytes. A record lies in one piece: where it does not fit before the end of the region, the rest is
 * marked as skipped and it goes to the start.
 */

/** Cells of a record's header; a rest smaller than this is skipped without a mark. */
export const HEADER_CELLS = 6
/** Marks in the fourth 32-bit word of a header a rest that holds no record. */
export const SKIP = 0x80000000

export class Ring {
  readonly start: number
  readonly end: number
  /** Cells between tail and head, skipped ones included. */
  used = 0
  tail: number
  #head: number
  readonly #words: Uint32Array

  constructor(words: Uint32Array, start: number, end: number) {
    this.#words = words
    this.start = start
    this.end = end
    this.tail = start
    this.#head = start
  }

  get cells(): number {
    return this.end - this.start
  }

  /** Where `size` cells fit now, or -1 until more has left at the tail. */
  room(size: number): number {
    if (this.used === 0) {
      this.tail = this.start
      this.#head = this.start
    }
    if (this.used === 0 || this.#head > this.tail) {
      if (this.end - this.#head >= size) return this.#head
      return this.tail - this.start >= size ? this.start : -1
    }
    return this.tail - this.#head >= size ? this.#head : -1
  }

  /** Takes the place that `room` just gave. */
  take(at: number, size: number): void {
    if (at !== this.#head) {
      const rest = this.end - this.#head
      if (rest >= HEADER_CELLS) this.#words[this.#head * 2 + 3] = SKIP
      this.used += rest
    }
    this.#head = at + size
    this.used += size
  }

  /** Gives up the record at the tail. */
  release(size: number): void {
    this.tail += size
    this.used -= size
    if (this.used > 0 && this.#skippedAt(this.tail)) {
      this.used -= this.end - this.tail
      this.tail = this.start
    }
  }

  #skippedAt(at: number): boolean {
    return this.end - at < HEADER_CELLS || ((this.#words[at * 2 + 3] as number) & SKIP) !== 0
  }
}
