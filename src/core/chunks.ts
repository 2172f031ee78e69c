/**
 * A long body as the pieces in which it arrived. It is never joined: joining 100 MiB blocks the event loop for 70 ms
 * and needs the memory twice. Unlike a stream it can be read several times and from any offset.
 */
import { nextTurn } from '../lib/cooperative.ts'

/** Bodies up to this length are joined into one array; reading one takes a few milliseconds at most. */
export const JOINED_BYTES = 4 << 20
/** Longest piece that is processed without a pause: a few milliseconds where reading is slow. */
export const PIECE_BYTES = 128 << 10

export class Chunks implements AsyncIterable<Uint8Array> {
  readonly length: number
  readonly #list: readonly Uint8Array[]
  /** The offset of each piece, and the total length. */
  readonly #starts: Float64Array

  constructor(list: readonly Uint8Array[]) {
    this.#list = list
    this.#starts = new Float64Array(list.length + 1)
    let length = 0
    for (let i = 0; i < list.length; i++) this.#starts[i + 1] = length += (list[i] as Uint8Array).length
    this.length = length
  }

  /** The bytes from `start` up to `end`, in pieces of at most `PIECE_BYTES`; views, not copies. */
  *pieces(start = 0, end = this.length): Generator<Uint8Array, void> {
    for (let at = start, i = this.#holding(start); at < end; i++) {
      const chunk = this.#list[i] as Uint8Array
      const base = this.#starts[i] as number
      const stop = Math.min(end - base, chunk.length)
      for (let from = at - base; from < stop; from += PIECE_BYTES)
        yield chunk.subarray(from, Math.min(stop, from + PIECE_BYTES))
      at = base + stop
    }
  }

  /** The bytes from `start` up to `end`: a view where they lie in one piece, a copy where they do not. */
  slice(start: number, end: number): Uint8Array {
    const i = this.#holding(start)
    const base = this.#starts[i] as number
    if (end <= base + (this.#list[i]?.length ?? 0))
      return (this.#list[i] as Uint8Array).subarray(start - base, end - base)
    const copy = new Uint8Array(end - start)
    let at = 0
    for (const piece of this.pieces(start, end)) {
      copy.set(piece, at)
      at += piece.length
    }
    return copy
  }

  /** Streams the pieces. Pauses between them, because a reader that is always ready would block all other calls. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    let since = 0
    for (const piece of this.pieces()) {
      yield piece
      since += piece.length
      if (since < JOINED_BYTES) continue
      since = 0
      await nextTurn()
    }
  }

  /** Which piece holds the byte at `offset`. */
  #holding(offset: number): number {
    let low = 0
    let high = this.#list.length
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.#starts[middle] as number) <= offset) low = middle
      else high = middle - 1
    }
    return Math.min(low, Math.max(0, this.#list.length - 1))
  }
}
