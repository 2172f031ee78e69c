/**
 * A first-in, first-out log of records in one region of the arena: records are appended at the head and leave at the tail,
 * so there is no free list and no fragmentation. Positions and sizes are in cells of eight bytes. A record lies in one
 * piece: where it does not fit before the end of the region, the rest is marked as skipped and it goes to the start.
 */

/** Cells of a record's header; a rest smaller than this is skipped without a mark. */
export const HEADER_CELLS = 6
/** In the fourth 32-bit word of a header: the rest of the region holds no record. */
export const SKIP = 0x80000000

/** The state of a ring: cells in use, tail, head. It lies in memory that workers may share. */
const USED = 0
const TAIL = 1
const HEAD = 2
export const RING_STATE = 3

export class Ring {
  readonly start: number
  readonly end: number
  readonly #words: Uint32Array
  readonly #state: Uint32Array

  constructor(
    { words, state }: { readonly words: Uint32Array; readonly state: Uint32Array },
    start: number,
    end: number,
  ) {
    this.#words = words
    this.#state = state
    this.start = start
    this.end = end
  }

  get cells(): number {
    return this.end - this.start
  }

  /** Cells between tail and head, skipped ones included. */
  get used(): number {
    return this.#state[USED] as number
  }

  get tail(): number {
    return this.#state[TAIL] as number
  }

  /** Removes every record. */
  clear(): void {
    this.#state[USED] = 0
    this.#state[TAIL] = this.start
    this.#state[HEAD] = this.start
  }

  /** Where `size` cells fit now; -1: nowhere, until more records have left at the tail. */
  room(size: number): number {
    if (this.used === 0) this.clear()
    const tail = this.tail
    const head = this.#state[HEAD] as number
    if (this.used === 0 || head > tail) {
      if (this.end - head >= size) return head
      return tail - this.start >= size ? this.start : -1
    }
    return tail - head >= size ? head : -1
  }

  /** Occupies the position that `room` just returned. */
  take(at: number, size: number): void {
    const state = this.#state
    const head = state[HEAD] as number
    let used = size
    if (at !== head) {
      const rest = this.end - head
      if (rest >= HEADER_CELLS) this.#words[head * 2 + 3] = SKIP
      used += rest
    }
    state[HEAD] = at + size
    state[USED] = (state[USED] as number) + used
  }

  /** Removes the record at the tail. */
  release(size: number): void {
    const state = this.#state
    let tail = (state[TAIL] as number) + size
    let used = (state[USED] as number) - size
    if (used > 0 && this.#skippedAt(tail)) {
      used -= this.end - tail
      tail = this.start
    }
    state[TAIL] = tail
    state[USED] = used
  }

  #skippedAt(at: number): boolean {
    return this.end - at < HEADER_CELLS || ((this.#words[at * 2 + 3] as number) & SKIP) !== 0
  }
}
