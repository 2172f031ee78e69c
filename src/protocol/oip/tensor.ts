/**
 * Converts tensors to bytes: JSON `data` of a known datatype becomes the little-endian row-major bytes of Triton's
 * binary tensor extension, so both encodings of a tensor have one key. Data that does not fit its datatype
 * or shape is not interpreted: the JSON is then keyed as written.
 */
import type { Stretch } from '../json/span.ts'
import { type Put, putter } from './put.ts'

/** The size of an element in bytes; BYTES has none. FP16 and BF16 have no JSON form. */
export const ELEMENT_BYTES: ReadonlyMap<string, number> = new Map([
  ['BOOL', 1],
  ['INT8', 1],
  ['UINT8', 1],
  ['INT16', 2],
  ['UINT16', 2],
  ['FP16', 2],
  ['BF16', 2],
  ['INT32', 4],
  ['UINT32', 4],
  ['FP32', 4],
  ['INT64', 8],
  ['UINT64', 8],
  ['FP64', 8],
])

/** A tensor's bytes, and where each row of dimension 0 begins in them and in the JSON text. */
export interface EncodedTensor {
  readonly values: Uint8Array
  /** n + 1 offsets into `values`; absent if rows are not needed. */
  readonly rows?: Uint32Array
  /** n pairs of offsets into the body: the row's JSON text. Absent for binary tensors. */
  readonly lexemes?: Uint32Array
  /** Whether the JSON text of a row has brackets of its own. */
  readonly nested: boolean
}

export interface TensorType {
  readonly datatype: string
  readonly shape: readonly number[]
}

/** The number of elements of a shape; undefined above 2^40, which no body holds. */
export function elementsOf(shape: readonly number[]): number | undefined {
  let count = 1
  for (const size of shape) {
    count *= size
    if (count > 2 ** 40) return undefined
  }
  return count
}

/** The size (0 for BYTES) and number of a tensor's elements; undefined if `room` bytes of JSON cannot hold them. */
export function measured(
  { datatype, shape }: TensorType,
  room: number,
): { readonly count: number; readonly size: number } | undefined {
  const count = elementsOf(shape)
  const size = ELEMENT_BYTES.get(datatype) ?? (datatype === 'BYTES' ? 0 : undefined)
  // Each element takes at least a byte and a comma, so the length of the request bounds the allocation.
  return size === undefined || count === undefined || count * 2 > room + 2 ? undefined : { count, size }
}

/** The tensor that JSON `data` at `start` spells; undefined if it does not fit datatype and shape. */
export function decodeJson(
  bytes: Uint8Array,
  span: Stretch,
  type: TensorType & { readonly rows?: boolean },
): EncodedTensor | undefined {
  const room = span.end - span.start
  const found = measured(type, room)
  if (!found) return undefined
  const { count, size } = found
  const values = Buffer.allocUnsafe(size > 0 ? count * size : room * 2 + 8)
  const put = putter(bytes, type.datatype, { out: values, all: { span, count } })
  if (!put) return undefined
  const reader = new DataReader(bytes, type.shape, { count, put, rows: type.rows ?? false })
  reader.read(span.start, span.end)
  return reader.state === FITS ? reader.tensor(values) : undefined
}

/** A blob of the binary extension as a tensor; undefined if its size does not fit datatype and shape. */
export function decodeBlob(blob: Uint8Array, type: TensorType, rows: boolean): EncodedTensor | undefined {
  const count = elementsOf(type.shape)
  if (count === undefined) return undefined
  const n = type.shape[0] ?? 0
  const size = ELEMENT_BYTES.get(type.datatype)
  const offsets = type.datatype === 'BYTES' ? textOffsets(blob, count) : undefined
  if (size === undefined ? offsets === undefined : blob.length !== count * size) return undefined
  if (!rows || n === 0 || count === 0) return { values: blob, nested: false }
  const perRow = count / n
  const starts = Uint32Array.from({ length: n + 1 }, (_, row) =>
    offsets ? (offsets[row * perRow] as number) : row * perRow * (size as number),
  )
  return { values: blob, rows: starts, nested: false }
}

/** Where each of `count` length-prefixed strings begins, and the end; undefined unless they fill the blob. */
export function textOffsets(blob: Uint8Array, count: number): Uint32Array | undefined {
  if (count * 4 > blob.length) return undefined
  const view = new DataView(blob.buffer, blob.byteOffset, blob.length)
  const offsets = new Uint32Array(count + 1)
  let at = 0
  for (let i = 0; i < count; i++) {
    offsets[i] = at
    if (at + 4 > blob.length) return undefined
    at += 4 + view.getUint32(at, true)
  }
  offsets[count] = at
  return at === blob.length ? offsets : undefined
}

interface TensorReading {
  readonly count: number
  readonly put: Put
  readonly rows: boolean
}

/** The states of a `DataReader`: more must be read; the data is a tensor of its type and shape; it is none. */
export const READING = 0
export const FITS = 1
export const MISFIT = 2

/** Walks over valid `data`, checks its nesting against the shape, and writes the values. */
export class DataReader {
  state: typeof READING | typeof FITS | typeof MISFIT = READING
  /** How many bytes were written. */
  at = 0
  readonly #bytes: Uint8Array
  readonly #shape: readonly number[]
  readonly #reading: TensorReading
  readonly #rowElements: number
  readonly #rows: Uint32Array | undefined
  readonly #lexemes: Uint32Array | undefined
  /** The number of members of each open array, by depth. */
  readonly #counts: number[] = []
  #depth = 0
  #leafDepth = 0
  #element = 0

  constructor(bytes: Uint8Array, shape: readonly number[], reading: TensorReading) {
    this.#bytes = bytes
    this.#shape = shape
    this.#reading = reading
    const n = shape[0] ?? 0
    this.#rowElements = n > 0 ? reading.count / n : 0
    if (!reading.rows || this.#rowElements === 0) return
    this.#rows = new Uint32Array(n + 1)
    this.#lexemes = new Uint32Array(n * 2)
  }

  /** Reads from `from`, and returns where it stopped: behind the array, or before an element that does not end before `end`. */
  read(from: number, end: number): number {
    const bytes = this.#bytes
    let i = from
    while (i < end && this.state === READING) {
      const c = bytes[i] as number
      if (c === 0x5b) {
        this.#open(i)
        i++
      } else if (c === 0x5d) {
        i++
        this.#close(i)
      } else if (c <= 0x20 || c === 0x2c) i++
      else {
        const after = leafEnd(bytes, i, end)
        if (after < 0) return i
        this.#leaf(i, after)
        i = after
      }
    }
    return i
  }

  /** Rows have brackets of their own. */
  get isNested(): boolean {
    return this.#leafDepth > 1
  }

  /** Continues to write at the beginning of the output. */
  rewind(): void {
    this.at = 0
  }

  /** The tensor whose values were written into `out`, if `state` is FITS. */
  tensor(out: Uint8Array): EncodedTensor {
    return {
      values: out.subarray(0, this.at),
      nested: this.isNested,
      ...(this.#rows && this.#lexemes ? { rows: this.#rows, lexemes: this.#lexemes } : {}),
    }
  }

  #open(at: number): void {
    const counts = this.#counts
    if (this.#depth > 0) counts[this.#depth] = (counts[this.#depth] as number) + 1
    counts[++this.#depth] = 0
    if (this.#depth === 2) this.#rowStart(at)
  }

  #close(end: number): void {
    if (!this.#closes(this.#depth, this.#counts[this.#depth] as number)) this.state = MISFIT
    else if (--this.#depth === 0) this.state = this.#element === this.#reading.count ? FITS : MISFIT
    else if (this.#depth === 1) this.#rowEnd(end)
  }

  /** Whether an array of `members` at `depth` fits the shape. */
  #closes(depth: number, members: number): boolean {
    if (depth === 1 && this.#leafDepth <= 1 && members === this.#element)
      return members === this.#reading.count
    return this.#shape[depth - 1] === members
  }

  #leaf(from: number, end: number): void {
    const depth = this.#depth
    const isFlat = depth === 1
    this.#counts[depth] = (this.#counts[depth] as number) + 1
    // The data is flat or nested to the full rank, and nothing in between.
    if (this.#leafDepth === 0 && (isFlat || depth === this.#shape.length)) this.#leafDepth = depth
    if (depth !== this.#leafDepth || depth === 0 || this.#element === this.#reading.count) {
      this.state = MISFIT
      return
    }
    if (isFlat && this.#element % this.#rowElements === 0) this.#rowStart(from)
    this.at = this.#reading.put(from, end, this.at)
    if (this.at < 0) {
      this.state = MISFIT
      return
    }
    this.#element++
    if (isFlat && this.#element % this.#rowElements === 0) this.#rowEnd(end)
  }

  #rowStart(from: number): void {
    if (!this.#lexemes || !this.#rows) return
    const row = this.#row
    this.#lexemes[row * 2] = from
    this.#rows[row] = this.at
  }

  #rowEnd(end: number): void {
    if (!this.#lexemes || !this.#rows) return
    const row = this.#row - 1
    this.#lexemes[row * 2 + 1] = end
    this.#rows[row + 1] = this.at
  }

  /** The row the next element belongs to. */
  get #row(): number {
    return Math.floor(this.#element / this.#rowElements)
  }
}

/** The index behind a string, number or word; -1: it does not end before `end`. */
function leafEnd(bytes: Uint8Array, from: number, end: number): number {
  let i = from
  if (bytes[i] !== 0x22) {
    for (; i < end; i++) {
      const c = bytes[i] as number
      if (c === 0x2c || c === 0x5d || c <= 0x20) return i
    }
    return -1
  }
  i++
  while (i < end && bytes[i] !== 0x22) i += bytes[i] === 0x5c ? 2 : 1
  return i < end ? i + 1 : -1
}
