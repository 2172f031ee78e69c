/**
 * Finds the rows that are elements of JSON arrays in a body, and makes `Row`s of them. A body may hold them in one array
 * (`instances`) or in several arrays side by side, one a name (columnar `inputs`).
 */
import type { Digest } from '../../core/key.ts'
import { pack } from '../packed.ts'
import { SpanHasher } from '../preimage.ts'
import type { Row } from '../protocol.ts'
import { type Cursor, type ScanProblem } from './scan.ts'
import { CANONICAL, type Span, type Spelling } from './span.ts'

/** Reading more rows than this would block the event loop for too long. */
export const MAX_ROWS = 131_072

/** The elements of one array. */
export class Column {
  readonly name: string
  /** Behind the opening, and before the closing bracket. */
  start = 0
  end = 0
  count = 0
  /** All elements have the same brackets and commas; the values in between are not compared. */
  isEven = true
  shape = 0
  /** JSON types of the first element, and those of others that differ from it. */
  #types = 0
  #others: Set<number> | undefined
  /** Start, end and spelling of each element; preallocated for one, since most calls have one. */
  readonly #places: number[] = [0, 0, CANONICAL]

  constructor(name: string) {
    this.name = name
  }

  /** Reads the array at the cursor; false if there is none or it is invalid. */
  read(cursor: Cursor): boolean {
    cursor.peek()
    this.start = cursor.pos + 1
    const read = cursor.elements((index) => {
      const start = cursor.pos
      if (!cursor.skip()) return false
      const places = this.#places
      if (index > 0) places.push(start, cursor.pos, cursor.spelling(start))
      else {
        places[0] = start
        places[1] = cursor.pos
        places[2] = cursor.spelling(start)
        this.shape = cursor.shape
        this.#types = cursor.types
      }
      this.count++
      if (this.shape !== cursor.shape) this.isEven = false
      if (this.#types !== cursor.types) this.#mix(cursor.types)
      return true
    })
    this.end = cursor.pos - 1
    return read
  }

  /** The JSON types that elements have, each once and in order; undefined: there are too many. */
  get types(): readonly number[] | undefined {
    if (!this.#others) return [this.#types]
    return this.#others.size < MAX_TYPES ? [this.#types, ...this.#others].sort((a, b) => a - b) : undefined
  }

  #mix(types: number): void {
    this.#others ??= new Set()
    if (this.#others.size < MAX_TYPES) this.#others.add(types)
  }

  /** Sets `span` to element `index`: a loop over many makes no objects. */
  at(index: number, span: MutableSpan): MutableSpan {
    const place = index * PLACE
    span.start = this.#places[place] as number
    span.end = this.#places[place + 1] as number
    span.spelling = this.#places[place + 2] as Spelling
    return span
  }
}

/** Of elements that differ from the first; numbers alone have three. */
const MAX_TYPES = 8

const PLACE = 3

type MutableSpan = { -readonly [Field in keyof Span]: Span[Field] }

export function place(): MutableSpan {
  return { start: 0, end: 0, spelling: CANONICAL, shape: 0 }
}

/** An element of one array; its bytes are cut out of the body only when they are read. */
class ElementRow implements Row {
  readonly digest: Digest
  readonly body: Uint8Array
  readonly start: number
  readonly end: number
  constructor(digest: Digest, body: Uint8Array, at: MutableSpan) {
    this.digest = digest
    this.body = body
    this.start = at.start
    this.end = at.end
  }
  get wire(): Uint8Array {
    return this.body.subarray(this.start, this.end)
  }
}

/** The rows of one array. */
export function elementRows(
  prefix: Digest,
  body: Uint8Array,
  column: Column,
): Row[] | { problem: ScanProblem } {
  const hasher = new SpanHasher(prefix)
  const rows: Row[] = []
  const at = place()
  for (let i = 0; i < column.count; i++) {
    const digest = hasher.span(body, column.at(i, at))
    if (typeof digest !== 'string') return digest
    rows.push(new ElementRow(digest, body, at))
  }
  return rows
}

/** The rows of several arrays of equal length, which come sorted by name; the wire packs one part an array. */
export function columnRows(
  prefix: Digest,
  body: Uint8Array,
  columns: readonly Column[],
): Row[] | { problem: ScanProblem } {
  const hasher = new SpanHasher(prefix)
  const rows: Row[] = []
  const count = columns[0]?.count ?? 0
  for (let i = 0; i < count; i++) {
    const places = columns.map((column) => column.at(i, place()))
    const digest = hasher.spans(body, places)
    if (typeof digest !== 'string') return digest
    const wire = pack(places.map(({ start, end }) => body.subarray(start, end)))
    rows.push({ digest, wire })
  }
  return rows
}
