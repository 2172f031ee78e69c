/**
 * Cuts the long arrays out of a long JSON text. The rest (the skeleton) is short enough to be parsed in one piece, and the
 * arrays, which are nearly all of a long request, are parsed separately, a piece at a time. Only brackets and strings are
 * looked at here; whether the text is valid JSON is found when the two parts are parsed.
 */
import type { Chunks } from '../../core/chunks.ts'

/** The place of an array that was cut out; the skeleton has `[]` instead. */
export interface Hole {
  /** The index of the opening bracket in the skeleton. */
  readonly at: number
  /** The bounds of the array in the text, both brackets included. */
  readonly start: number
  readonly end: number
}

export interface Skeleton {
  readonly bytes: Uint8Array
  /** In the order of the text. */
  readonly holes: readonly Hole[]
}

/** The longest skeleton, since it is parsed in one go. */
const MAX_SKELETON_BYTES = 1 << 20
/** Shorter arrays stay in the skeleton. */
const MIN_HOLE_BYTES = 1024

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d

const EMPTY_ARRAY = Uint8Array.of(OPEN_ARRAY, CLOSE_ARRAY)

const OPEN = 1
const CLOSE = 2
const STRING = 3
/** The kind of a byte outside of strings. */
const KIND = new Uint8Array(256)
KIND[OPEN_ARRAY] = KIND[0x7b] = OPEN
KIND[CLOSE_ARRAY] = KIND[0x7d] = CLOSE
KIND[QUOTE] = STRING

/**
 * The skeleton of the text in the first `end` bytes of a body, with a pause after each piece. Arrays with `depth` or
 * more brackets around them are cut out. Undefined: the skeleton is too long.
 */
export function* skeletonOf(body: Chunks, end: number, depth: number): Generator<void, Skeleton | undefined> {
  const builder = new SkeletonBuilder(depth)
  for (const piece of body.pieces(0, end)) {
    if (!builder.push(piece)) return undefined
    yield
  }
  return builder.finish()
}

class SkeletonBuilder {
  readonly #minDepth: number
  readonly #holes: Hole[] = []
  #out = new Uint8Array(64 << 10)
  #at = 0
  /** How much of the text came in earlier pieces, and how much of the present one has been copied. */
  #read = 0
  #copied = 0
  #depth = 0
  #inString = false
  #isEscaped = false
  /** The array that may become a hole: its depth (0: there is none), and where it begins in text and skeleton. */
  #arrayDepth = 0
  #arrayStart = 0
  #arrayAt = 0

  constructor(minDepth: number) {
    this.#minDepth = minDepth
  }

  /** False once the skeleton is too long. */
  push(piece: Uint8Array): boolean {
    let inString = this.#inString
    let isEscaped = this.#isEscaped
    for (let i = 0; i < piece.length; i++) {
      const c = piece[i] as number
      if (inString) {
        if (isEscaped) isEscaped = false
        else if (c === QUOTE) inString = false
        else if (c === BACKSLASH) isEscaped = true
        continue
      }
      const kind = KIND[c]
      if (kind === 0) continue
      if (kind === STRING) inString = true
      else if (kind === CLOSE) this.#close(i + 1)
      else this.#open(piece, i)
    }
    this.#inString = inString
    this.#isEscaped = isEscaped
    // An array that is long already is not copied further.
    if (this.#arrayDepth === 0 || this.#at - this.#arrayAt < MIN_HOLE_BYTES) this.#copy(piece, piece.length)
    this.#read += piece.length
    this.#copied = 0
    return (this.#arrayDepth > 0 ? this.#arrayAt : this.#at) <= MAX_SKELETON_BYTES
  }

  finish(): Skeleton {
    return { bytes: this.#out.subarray(0, this.#at), holes: this.#holes }
  }

  #open(piece: Uint8Array, at: number): void {
    if (piece[at] === OPEN_ARRAY && this.#arrayDepth === 0 && this.#depth >= this.#minDepth) {
      this.#copy(piece, at)
      this.#arrayDepth = this.#depth + 1
      this.#arrayStart = this.#read + at
      this.#arrayAt = this.#at
    }
    this.#depth++
  }

  #close(end: number): void {
    if (this.#depth-- !== this.#arrayDepth || this.#arrayDepth === 0) return
    this.#arrayDepth = 0
    if (this.#read + end - this.#arrayStart < MIN_HOLE_BYTES) return
    this.#holes.push({ at: this.#arrayAt, start: this.#arrayStart, end: this.#read + end })
    this.#at = this.#arrayAt
    this.#copied = 0
    this.#copy(EMPTY_ARRAY, EMPTY_ARRAY.length)
    this.#copied = end
  }

  /** Copies the piece, from what was copied last, up to `end`. */
  #copy(piece: Uint8Array, end: number): void {
    const size = end - this.#copied
    if (this.#at + size > this.#out.length) {
      const bigger = new Uint8Array((this.#at + size) * 2)
      bigger.set(this.#out.subarray(0, this.#at))
      this.#out = bigger
    }
    this.#out.set(piece.subarray(this.#copied, end), this.#at)
    this.#at += size
    this.#copied = end
  }
}
