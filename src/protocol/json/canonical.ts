/**
 * Writes the canonical spelling of a JSON value, which keys are made of: members sorted by the bytes of their
 * canonically spelled keys, strings in one spelling (string.ts), no white space, numbers as they were
 * written. It is itself JSON, so two values that differ have different canonical bytes.
 *
 * It works on spans that a Cursor has walked over, and therefore trusts their grammar. Only duplicate keys, which are found by
 * sorting, are detected here.
 */
import { MAX_UNSORTED, type ScanProblem } from './scan.ts'
import { CANONICAL, compareSpans, SPACED, type Span, type Stretch } from './span.ts'
import { writeString } from './string.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** The size of the buffer that is kept between calls; a larger one is made for one call and dropped. */
const KEEP_BYTES = 1 << 20

/** The most members that are sorted by insertion. */
const MAX_INSERTION_SORTED = 16

class Canonicaliser {
  readonly #bytes: Uint8Array
  readonly #out: Uint8Array
  #at: number
  #pos = 0
  problem: ScanProblem | undefined

  constructor(bytes: Uint8Array, out: Uint8Array, at: number) {
    this.#bytes = bytes
    this.#out = out
    this.#at = at
  }

  /** Rewrites the value at `from`; returns the end of the output. */
  run(from: number): number {
    this.#pos = from
    this.#value()
    return this.#at
  }

  #value(): void {
    const c = this.#skipSpace()
    if (c === OPEN_OBJECT) this.#object()
    else if (c === OPEN_ARRAY) this.#array()
    else if (c === QUOTE) this.#string()
    else this.#scalar()
  }

  #array(): void {
    this.#pos++
    this.#put(OPEN_ARRAY)
    let c = this.#skipSpace()
    while (c !== OPEN_ARRAY + 2) {
      this.#value()
      c = this.#skipSpace()
      if (c !== COMMA) continue
      this.#put(COMMA)
      this.#pos++
      c = this.#skipSpace()
    }
    this.#pos++
    this.#put(OPEN_ARRAY + 2)
  }

  #object(): void {
    this.#pos++
    this.#put(OPEN_OBJECT)
    const first = this.#at
    // Three numbers a member: where its key begins and ends, and where its value ends.
    const places: number[] = []
    let sorted = true
    while (this.#skipSpace() !== CLOSE_OBJECT) {
      if (this.#bytes[this.#pos] === COMMA) {
        this.#pos++
        this.#put(COMMA)
        this.#skipSpace()
      }
      const key = this.#at
      this.#string()
      const keyEnd = this.#at
      this.#skipSpace()
      this.#pos++
      this.#put(COLON)
      this.#value()
      places.push(key, keyEnd, this.#at)
      sorted &&= places.length === 3 || this.#compare(places, places.length - 6, places.length - 3) < 0
    }
    this.#pos++
    if (!sorted) this.#sort(first, places)
    this.#put(CLOSE_OBJECT)
  }

  /** Compares the keys of two members. */
  #compare(places: readonly number[], a: number, b: number): number {
    // Without the quotes.
    const inside = (at: number) => ({
      start: (places[at] as number) + 1,
      end: (places[at + 1] as number) - 1,
    })
    return compareSpans(this.#out, inside(a), inside(b))
  }

  #sort(first: number, places: readonly number[]): void {
    const count = places.length / 3
    if (count > MAX_UNSORTED) {
      this.problem ??= 'too-many-members'
      return
    }
    const order: number[] = []
    for (let member = 0; member < count; member++) order.push(member * 3)
    if (count > MAX_INSERTION_SORTED) order.sort((a, b) => this.#compare(places, a, b))
    else this.#insertionSort(places, order)
    for (let i = 1; i < count; i++) {
      const same = this.#compare(places, order[i - 1] as number, order[i] as number) === 0
      if (same) this.problem ??= 'duplicate-key'
    }
    const unsorted = scratchFor(this.#at - first)
    copy(this.#out, { start: first, end: this.#at }, { out: unsorted, at: 0 })
    let at = first
    for (const member of order) {
      if (at > first) this.#out[at++] = COMMA
      const start = (places[member] as number) - first
      const end = (places[member + 2] as number) - first
      at = copy(unsorted, { start, end }, { out: this.#out, at })
    }
  }

  /** Most objects have few members, for which this is several times faster than a general sort. */
  #insertionSort(places: readonly number[], order: number[]): void {
    for (let i = 1; i < order.length; i++) {
      const member = order[i] as number
      let at = i
      while (at > 0 && this.#compare(places, order[at - 1] as number, member) > 0) {
        order[at] = order[at - 1] as number
        at--
      }
      order[at] = member
    }
  }

  #string(): void {
    const bytes = this.#bytes
    const start = this.#pos + 1
    let end = start
    while (bytes[end] !== QUOTE) end += bytes[end] === BACKSLASH ? 2 : 1
    this.#put(QUOTE)
    this.#at = writeString(bytes, { start, end }, { out: this.#out, at: this.#at })
    this.#put(QUOTE)
    this.#pos = end + 1
  }

  /** Copies a number, a word or a token: everything up to the next structural byte. */
  #scalar(): void {
    const bytes = this.#bytes
    let i = this.#pos
    for (; i < bytes.length; i++) {
      const c = bytes[i] as number
      if (c <= 0x20 || c === COMMA || c === CLOSE_OBJECT || c === OPEN_ARRAY + 2) break
      this.#put(c)
    }
    this.#pos = i
  }

  #skipSpace(): number {
    let c = this.#bytes[this.#pos] as number
    while (c <= 0x20) c = this.#bytes[++this.#pos] as number
    return c
  }

  #put(byte: number): void {
    this.#out[this.#at++] = byte
  }
}

/** Where to write. */
interface WriteTarget {
  readonly out: Uint8Array
  readonly at: number
}

/** Copies a span without the white space between its tokens; returns the index behind the copy. */
function compact(bytes: Uint8Array, span: Span, target: WriteTarget): number {
  const { out } = target
  let { at } = target
  let inString = false
  for (let i = span.start; i < span.end; i++) {
    const c = bytes[i] as number
    if (c <= 0x20 && !inString) continue
    out[at++] = c
    if (c === QUOTE) inString = !inString
    else if (c === BACKSLASH) out[at++] = bytes[++i] as number
  }
  return at
}

/**
 * Writes a span canonically into `out` at `at` and returns the index behind it, or why it has no canonical
 * spelling. The canonical spelling is never longer than the span.
 */
export function writeCanonical(bytes: Uint8Array, span: Span, target: WriteTarget): number | ScanProblem {
  const { out, at } = target
  if (span.spelling === CANONICAL) {
    out.set(bytes.subarray(span.start, span.end), at)
    return at + span.end - span.start
  }
  if (span.spelling === SPACED) return compact(bytes, span, target)
  const writer = new Canonicaliser(bytes, out, at)
  const end = writer.run(span.start)
  return writer.problem ?? end
}

let scratch = new Uint8Array(0)
let sorting = new Uint8Array(0)

/** A buffer for the members that are being sorted. */
function scratchFor(size: number): Uint8Array {
  if (size <= sorting.length) return sorting
  const bigger = new Uint8Array(size * 2)
  if (size <= KEEP_BYTES) sorting = bigger
  return bigger
}

/** Up to this size a loop copies faster than a view and `set` do. */
const LOOP_BYTES = 96

/** Copies bytes; returns the index behind the copy. */
export function copy(bytes: Uint8Array, { start, end }: Stretch, { out, at }: WriteTarget): number {
  const size = end - start
  if (size > LOOP_BYTES) out.set(bytes.subarray(start, end), at)
  else for (let i = 0; i < size; i++) out[at + i] = bytes[start + i] as number
  return at + size
}

/** A span's canonical bytes, valid until the next call; or why it has none. A span that is canonical already is not copied. */
export function canonicalBytes(bytes: Uint8Array, span: Span): Uint8Array | ScanProblem {
  if (span.spelling === CANONICAL) return bytes.subarray(span.start, span.end)
  const size = span.end - span.start
  const out = size <= scratch.length ? scratch : new Uint8Array(size)
  if (size <= KEEP_BYTES) scratch = out
  const end = writeCanonical(bytes, span, { out, at: 0 })
  return typeof end === 'number' ? out.subarray(0, end) : end
}
