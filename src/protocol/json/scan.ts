/**
 * A cursor over the bytes of a JSON body: strict RFC 8259 plus the bare tokens `NaN`, `Infinity` and
 * `-Infinity` that TensorFlow Serving reads and writes. With it keys are made from bytes: numbers
 * stay lexemes (an int64 survives), nothing is decoded to strings, and one pass finds the members and rows.
 *
 * While it walks it notes where the text departs from its canonical spelling (canonical.ts). A span that begins
 * after the last such place is canonical, and is hashed without being rewritten.
 */
import { isUtf8 } from 'node:buffer'
import { CANONICAL, compareSpans, OTHER, SPACED, type Span, type Spelling } from './span.ts'
import { keyText, LONE, SIMPLE_ESCAPE, unicodeEscape } from './string.ts'
import { numberEnd, wordEnd } from './token.ts'
import { found, joinTypes, TYPES } from './types.ts'

/** Why a body cannot be read, in a word for Cache-Status `detail`. */
export type ScanProblem =
  | 'unparsable'
  | 'trailing-bytes'
  | 'too-deep'
  | 'duplicate-key'
  | 'too-many-members'
  | 'unsorted-object'
  | 'long-token'
  | 'lone-surrogate'
  | 'invalid-utf8'

/** The deepest nesting; Triton's limit is 100, and a stack of this size needs no allocation. */
export const MAX_DEPTH = 64

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

const SPACE = 0x20
const DIGIT_9 = 0x39
const EMPTY = 0x55555555

/** Numbers kept for an open container: its closing byte, the bounds of its last key, how many keys, whether they are sorted. */
const LEVEL = 5
const KEY_START = 1
const KEY_END = 2
const MEMBERS = 3
const IS_UNSORTED = 4
/** For shorter bodies a DataView does not pay. */
const SHORT_BYTES = 1024

/** More members than this are only accepted in sorted order, so that nobody can attack by making the gateway sort. */
export const MAX_UNSORTED = 16_384

/** 1: ends the plain run inside a string (quote, backslash, control byte). */
export const STRING_STOP = new Uint8Array(256)
STRING_STOP.fill(1, 0, 0x20)
STRING_STOP[QUOTE] = 1
STRING_STOP[BACKSLASH] = 1

export class Cursor {
  readonly bytes: Uint8Array
  readonly end: number
  /** For long runs of digits. */
  #view: DataView | undefined
  pos = 0
  /** A fingerprint of the brackets and commas of the value walked over last. */
  shape = 0
  /** The commas in the value walked over last. An array, flat or nested, holds one value more than that. */
  commas = 0
  /** Of the value walked over last: its JSON types (`types.ts`). */
  types = 0
  problem: ScanProblem | undefined
  /** Where white space, and where any other departure from the canonical spelling, was last seen. */
  #space = -1
  #form = -1
  #depth = 0
  /** `LEVEL` numbers for each open container. A typed array would be allocated outside the heap, which costs more than a short body. */
  readonly #levels: number[] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.end = bytes.length
    if (this.end > SHORT_BYTES) this.#view = new DataView(bytes.buffer, bytes.byteOffset, this.end)
    if (!isUtf8(bytes)) this.problem = 'invalid-utf8'
  }

  /** The byte the next value begins with, white space skipped; 0 at the end. */
  peek(): number {
    if (this.pos < this.end && (this.bytes[this.pos] as number) <= SPACE) this.pos = this.#skipSpace(this.pos)
    return this.pos < this.end ? (this.bytes[this.pos] as number) : 0
  }

  /** The next value, walked over; undefined on a problem. */
  value(): Span | undefined {
    this.peek()
    const start = this.pos
    return this.skip() ? this.span(start, this.shape) : undefined
  }

  /** How far the text from `start` to here is from canonical. */
  spelling(start: number): Spelling {
    return this.#form >= start ? OTHER : this.#space >= start ? SPACED : CANONICAL
  }

  /** The span from `start` to here. */
  span(start: number, shape = 0): Span {
    return { start, end: this.pos, spelling: this.spelling(start), shape }
  }

  /**
   * Visits the members of the object here; keys come in their canonical spelling, one latin1 character a byte.
   * False on a problem, when it is no object, or when a visitor gives up.
   */
  members(visit: (key: string) => boolean): boolean {
    if (!this.#open(OPEN_OBJECT)) return false
    if (this.peek() === CLOSE_OBJECT) return this.#close()
    const first = this.#member()
    if (first === undefined) return false
    let seen: Set<string> | undefined
    for (let key: string | undefined = first; ; ) {
      if (!visit(key)) return this.#fail('unparsable')
      const next = this.peek()
      if (next === CLOSE_OBJECT) return this.#close()
      if (next !== COMMA) return this.#fail('unparsable')
      this.pos++
      key = this.#member()
      if (key === undefined) return false
      // Most objects that are visited have one member or two.
      seen ??= new Set<string>().add(first)
      if (seen.has(key)) return this.#fail('duplicate-key')
      if (seen.size === MAX_UNSORTED) return this.#fail('too-many-members')
      seen.add(key)
    }
  }

  /** Walks over a member's key and colon; gives the key, or undefined on a problem. */
  #member(): string | undefined {
    const after = this.#key(this.pos, this.#depth)
    if (after < 0) return undefined
    this.pos = after
    const level = this.#depth * LEVEL
    const levels = this.#levels
    return keyText(this.bytes, levels[level + KEY_START] as number, levels[level + KEY_END] as number)
  }

  /** Visits the elements of the array here; the visitor leaves the cursor behind each. False as for `members`. */
  elements(visit: (index: number) => boolean): boolean {
    if (!this.#open(OPEN_ARRAY)) return false
    if (this.peek() === CLOSE_ARRAY) return this.#close()
    for (let index = 0; ; index++) {
      this.peek()
      if (!visit(index)) return this.#fail('unparsable')
      const next = this.peek()
      if (next === CLOSE_ARRAY) return this.#close()
      if (next !== COMMA) return this.#fail('unparsable')
      this.pos++
    }
  }

  /** True when nothing but white space is left. */
  finish(): boolean {
    this.peek()
    return this.problem === undefined && (this.pos === this.end || this.#fail('trailing-bytes'))
  }

  /** Walks over the value here without looking at what it means. False on a problem. */
  skip(): boolean {
    if (this.problem) return false
    const bytes = this.bytes
    const view = this.#view
    const end = this.end
    const levels = this.#levels
    const floor = this.#depth
    let depth = floor
    let i = this.pos
    let shape = 0
    let commas = 0
    let before = 0
    let types = 0
    found.types = 0
    for (;;) {
      if (i < end && (bytes[i] as number) <= SPACE) i = this.#skipSpace(i)
      let c = i < end ? (bytes[i] as number) : 0
      if (c === OPEN_ARRAY || c === OPEN_OBJECT) {
        if (++depth > MAX_DEPTH) return this.#fail('too-deep')
        this.#enter(depth, c + 2)
        shape = (Math.imul(shape, 31) + c) | 0
        if (++i < end && (bytes[i] as number) <= SPACE) i = this.#skipSpace(i)
        if (i >= end || bytes[i] !== c + 2) {
          if (c === OPEN_OBJECT) i = this.#key(i, depth)
          if (i < 0) return false
          continue
        }
        // Otherwise an empty array would have the shape of one with one element.
        shape ^= EMPTY
      } else {
        i = c === QUOTE ? this.#string(i) : c <= DIGIT_9 ? numberEnd(bytes, i, end, view) : wordEnd(bytes, i)
        if (i < 0 || c === 0) return this.#fail('unparsable')
        types |= TYPES[c] as number
      }
      for (;;) {
        if (depth === floor) {
          this.pos = i
          this.shape = shape
          this.commas = commas
          this.types = joinTypes(before, types)
          return true
        }
        if (i < end && (bytes[i] as number) <= SPACE) i = this.#skipSpace(i)
        c = i < end ? (bytes[i++] as number) : 0
        shape = (Math.imul(shape, 31) + c) | 0
        if (c === COMMA) {
          commas++
          break
        }
        if (c !== levels[depth * LEVEL]) return this.#fail('unparsable')
        depth--
      }
      if (levels[depth * LEVEL] === CLOSE_OBJECT) {
        before = joinTypes(before, types)
        types = 0
        i = this.#key(i, depth)
      }
      if (i < 0) return false
    }
  }

  /** A member's key and colon; the index behind them, or -1. Notes where members leave their order. */
  #key(from: number, depth: number): number {
    const bytes = this.bytes
    let i = this.#skipSpace(from)
    if (i >= this.end || bytes[i] !== QUOTE) return this.#none('unparsable')
    const start = i + 1
    i = this.#string(i)
    if (i < 0) return this.#none('unparsable')
    const levels = this.#levels
    const level = depth * LEVEL
    const previous = levels[level + KEY_START] as number
    if (previous >= 0) {
      const last = { start: previous, end: levels[level + KEY_END] as number }
      const order = compareSpans(bytes, last, { start, end: i - 1 })
      if (order === 0) return this.#none('duplicate-key')
      if (order > 0) {
        this.#form = start
        levels[level + IS_UNSORTED] = 1
      }
    }
    const count = (levels[level + MEMBERS] as number) + 1
    levels[level + MEMBERS] = count
    if (count > MAX_UNSORTED && levels[level + IS_UNSORTED] === 1) return this.#none('too-many-members')
    levels[level + KEY_START] = start
    levels[level + KEY_END] = i - 1
    i = this.#skipSpace(i)
    return i < this.end && bytes[i] === COLON ? i + 1 : this.#none('unparsable')
  }

  /** The index behind the string whose opening quote is at `from`, or -1. */
  #string(from: number): number {
    const bytes = this.bytes
    const end = this.end
    let i = from + 1
    for (;;) {
      while (i < end && STRING_STOP[bytes[i] as number] === 0) i++
      if (i >= end) return -1
      const c = bytes[i]
      if (c === QUOTE) return i + 1
      if (c !== BACKSLASH || i + 1 >= end) return -1
      const kind = SIMPLE_ESCAPE[bytes[i + 1] as number] as number
      if (kind !== 2) this.#form = i
      if (kind > 0) {
        i += 2
        continue
      }
      const code = unicodeEscape(bytes, i, end)
      if (code === LONE) return this.#none('lone-surrogate')
      if (code < 0) return -1
      i += code > 0xffff ? 12 : 6
    }
  }

  #skipSpace(from: number): number {
    const bytes = this.bytes
    let i = from
    while (i < this.end) {
      const c = bytes[i]
      if (c !== SPACE && c !== 0x0a && c !== 0x0d && c !== 0x09) break
      i++
    }
    if (i > from) this.#space = from
    return i
  }

  #open(opener: number): boolean {
    if (this.problem || this.peek() !== opener) return this.#fail('unparsable')
    if (this.#depth === MAX_DEPTH) return this.#fail('too-deep')
    this.#enter(++this.#depth, opener + 2)
    this.pos++
    return true
  }

  /** A container is open, and has no member yet. */
  #enter(depth: number, closer: number): void {
    const levels = this.#levels
    const level = depth * LEVEL
    // Pushed one by one: an array with gaps would be slow.
    while (levels.length < level) levels.push(0)
    levels[level] = closer
    levels[level + KEY_START] = -1
    levels[level + KEY_END] = 0
    levels[level + MEMBERS] = 0
    levels[level + IS_UNSORTED] = 0
  }

  #close(): boolean {
    this.#depth--
    this.pos++
    return true
  }

  /** The first problem found is the one reported. */
  #fail(problem: ScanProblem): false {
    this.problem ??= problem
    return false
  }

  #none(problem: ScanProblem): -1 {
    this.problem ??= problem
    return -1
  }
}
