/**
 * Tensors as values: JSON `data` of a known datatype becomes the little-endian row-major bytes that Triton's
 * binary tensor extension carries, so both spellings of a tensor have one key. What does not fit its datatype
 * or shape is not guessed at: the caller then keys the JSON as it was written.
 */

import type { Stretch } from './json-scan.ts'
import { SIMPLE_ESCAPE, unicodeEscape } from './json-string.ts'
import { bigInteger, parseFloats, quickFloat, smallInteger } from './oip-number.ts'

/** Bytes an element; BYTES has none. FP16 and BF16 have no JSON form. */
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
export interface Tensor {
  readonly values: Uint8Array
  /** n + 1 offsets into `values`; absent where rows were not asked for. */
  readonly rows?: Uint32Array
  /** n pairs of offsets into the body: the row's JSON text. Absent for binary tensors. */
  readonly lexemes?: Uint32Array
  /** The JSON text of a row has brackets of its own. */
  readonly nested: boolean
}

export interface TensorType {
  readonly datatype: string
  readonly shape: readonly number[]
}

/** Writes one element's value at `at`; the index behind it, or -1 where the lexeme does not fit. */
type Put = (from: number, end: number, at: number) => number

/** Elements of a shape; undefined past 2^40, which no body holds. */
export function elementsOf(shape: readonly number[]): number | undefined {
  let count = 1
  for (const size of shape) {
    count *= size
    if (count > 2 ** 40) return undefined
  }
  return count
}

/** The tensor that JSON `data` at `start` spells; undefined where it does not fit datatype and shape. */
export function decodeJson(
  bytes: Uint8Array,
  span: Stretch,
  type: TensorType & { readonly rows?: boolean },
): Tensor | undefined {
  const count = elementsOf(type.shape)
  const size = ELEMENT_BYTES.get(type.datatype) ?? (type.datatype === 'BYTES' ? 0 : undefined)
  const room = span.end - span.start
  // Each element takes a byte and a comma: this bounds what is allocated by what was sent.
  if (size === undefined || count === undefined || count * 2 > room + 2) return undefined
  const values = Buffer.allocUnsafe(size > 0 ? count * size : room * 2 + 8)
  const put = putter(bytes, type.datatype, { out: values, span, count })
  return put && new DataReader(bytes, type, { count, values, put, rows: type.rows ?? false }).read(span.start)
}

/** A blob of the binary extension as a tensor; undefined where its size does not fit datatype and shape. */
export function decodeBlob(blob: Uint8Array, type: TensorType, rows: boolean): Tensor | undefined {
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

interface Reading {
  readonly count: number
  readonly values: Buffer
  readonly put: Put
  readonly rows: boolean
}

/** Walks over valid `data`, checks its nesting against the shape, and writes the values. */
class DataReader {
  readonly #bytes: Uint8Array
  readonly #shape: readonly number[]
  readonly #reading: Reading
  readonly #rowElements: number
  readonly #rows: Uint32Array | undefined
  readonly #lexemes: Uint32Array | undefined
  #leafDepth = 0
  #at = 0
  #element = 0

  constructor(bytes: Uint8Array, type: TensorType, reading: Reading) {
    this.#bytes = bytes
    this.#shape = type.shape
    this.#reading = reading
    const n = type.shape[0] ?? 0
    this.#rowElements = n > 0 ? reading.count / n : 0
    if (!reading.rows || this.#rowElements === 0) return
    this.#rows = new Uint32Array(n + 1)
    this.#lexemes = new Uint32Array(n * 2)
  }

  read(from: number): Tensor | undefined {
    const bytes = this.#bytes
    let i = from
    let depth = 0
    // Members of each open array, by depth.
    const counts: number[] = []
    for (;;) {
      const c = bytes[i] as number
      if (c === 0x5b) {
        if (depth > 0) counts[depth] = (counts[depth] as number) + 1
        counts[++depth] = 0
        if (depth === 2) this.#rowStart(i)
        i++
      } else if (c === 0x5d) {
        if (!this.#closes(depth, counts[depth] as number)) return undefined
        i++
        if (--depth === 0) return this.#done()
        if (depth === 1) this.#rowEnd(i)
      } else if (c <= 0x20 || c === 0x2c) i++
      else {
        counts[depth] = (counts[depth] as number) + 1
        i = this.#leaf(i, depth)
        if (i < 0) return undefined
      }
    }
  }

  /** True where an array of `members` at `depth` agrees with the shape. */
  #closes(depth: number, members: number): boolean {
    if (depth === 1 && this.#leafDepth <= 1 && members === this.#element)
      return members === this.#reading.count
    return this.#shape[depth - 1] === members
  }

  #leaf(from: number, depth: number): number {
    if (depth === 0 || this.#element === this.#reading.count) return -1
    // Flat, or nested to the rank: nothing between.
    if (this.#leafDepth === 0) {
      if (depth !== 1 && depth !== this.#shape.length) return -1
      this.#leafDepth = depth
    } else if (depth !== this.#leafDepth) return -1
    const end = leafEnd(this.#bytes, from)
    const isFlat = depth === 1
    if (isFlat && this.#element % this.#rowElements === 0) this.#rowStart(from)
    this.#at = this.#reading.put(from, end, this.#at)
    if (this.#at < 0) return -1
    this.#element++
    if (isFlat && this.#element % this.#rowElements === 0) this.#rowEnd(end)
    return end
  }

  #rowStart(from: number): void {
    if (!this.#lexemes || !this.#rows) return
    const row = this.#row
    this.#lexemes[row * 2] = from
    this.#rows[row] = this.#at
  }

  #rowEnd(end: number): void {
    if (!this.#lexemes || !this.#rows) return
    const row = this.#row - 1
    this.#lexemes[row * 2 + 1] = end
    this.#rows[row + 1] = this.#at
  }

  /** The row the next element belongs to. */
  get #row(): number {
    return Math.floor(this.#element / this.#rowElements)
  }

  #done(): Tensor | undefined {
    if (this.#element !== this.#reading.count) return undefined
    return {
      values: this.#reading.values.subarray(0, this.#at),
      nested: this.#leafDepth > 1,
      ...(this.#rows && this.#lexemes ? { rows: this.#rows, lexemes: this.#lexemes } : {}),
    }
  }
}

/** The index behind a string, number or word. */
function leafEnd(bytes: Uint8Array, from: number): number {
  let i = from
  if (bytes[i] !== 0x22) {
    for (;;) {
      const c = bytes[i] as number
      if (c === 0x2c || c === 0x5d || c <= 0x20) return i
      i++
    }
  }
  i++
  while (bytes[i] !== 0x22) i += bytes[i] === 0x5c ? 2 : 1
  return i + 1
}

const INTEGERS: ReadonlyMap<string, readonly [size: 1 | 2 | 4, low: number, high: number]> = new Map([
  ['INT8', [1, -(2 ** 7), 2 ** 7 - 1]],
  ['UINT8', [1, 0, 2 ** 8 - 1]],
  ['INT16', [2, -(2 ** 15), 2 ** 15 - 1]],
  ['UINT16', [2, 0, 2 ** 16 - 1]],
  ['INT32', [4, -(2 ** 31), 2 ** 31 - 1]],
  ['UINT32', [4, 0, 2 ** 32 - 1]],
])

interface Sink {
  readonly out: Buffer
  /** Place and number of all elements. */
  readonly span: Stretch
  readonly count: number
}

function putter(bytes: Uint8Array, datatype: string, sink: Sink): Put | undefined {
  const { out } = sink
  const integer = INTEGERS.get(datatype)
  if (integer) return putInteger(bytes, out, integer)
  switch (datatype) {
    case 'FP32':
    case 'FP64':
      return putFloat(bytes, sink, datatype === 'FP32' ? 4 : 8)
    case 'INT64':
      return putLong(bytes, out, { low: -(2n ** 63n), high: 2n ** 63n - 1n })
    case 'UINT64':
      return putLong(bytes, out, { low: 0n, high: 2n ** 64n - 1n })
    case 'BOOL':
      return (from, end, at) => {
        const isTrue = end - from === 4 && bytes[from] === 0x74
        if (!isTrue && (end - from !== 5 || bytes[from] !== 0x66)) return -1
        out[at] = isTrue ? 1 : 0
        return at + 1
      }
    case 'BYTES':
      return putText(bytes, out)
    default:
      return undefined
  }
}

/**
 * Floats in the precision of their tensor. Most clients print an FP32 with the 17 digits of a double; the first
 * such number has the whole array parsed at once, which costs a tenth of parsing them one by one.
 */
function putFloat(bytes: Uint8Array, { out, span, count }: Sink, size: 4 | 8): Put {
  const view = new DataView(out.buffer, out.byteOffset, out.length)
  let parsed: Float64Array | undefined
  return (from, end, at) => {
    let value = parsed?.[at / size]
    // A zero's sign is only seen in its lexeme.
    if (!value) value = quickFloat(bytes, from, end)
    if (value !== undefined && Number.isNaN(value)) {
      parsed ??= parseFloats(bytes.subarray(span.start, span.end), count)
      value = parsed?.[at / size]
    }
    if (value === undefined || !Number.isFinite(size === 4 ? Math.fround(value) : value)) return -1
    if (size === 4) view.setFloat32(at, value, true)
    else view.setFloat64(at, value, true)
    return at + size
  }
}

function putInteger(bytes: Uint8Array, out: Buffer, kind: readonly [1 | 2 | 4, number, number]): Put {
  const [size, low, high] = kind
  return (from, end, at) => {
    const value = smallInteger(bytes, from, end)
    if (value === undefined || value < low || value > high) return -1
    for (let i = 0; i < size; i++) out[at + i] = value >> (8 * i)
    return at + size
  }
}

function putLong(
  bytes: Uint8Array,
  out: Buffer,
  range: { readonly low: bigint; readonly high: bigint },
): Put {
  return (from, end, at) => {
    const small = smallInteger(bytes, from, end)
    if (small !== undefined) {
      if (small < 0 && range.low === 0n) return -1
      out.writeUInt32LE(small >>> 0, at)
      return out.writeInt32LE(Math.floor(small / 2 ** 32), at + 4)
    }
    const value = bigInteger(bytes, from, end)
    if (value === undefined || value < range.low || value > range.high) return -1
    return out.writeBigUInt64LE(BigInt.asUintN(64, value), at)
  }
}

/** Strings, each as four bytes of length and its UTF-8. */
function putText(bytes: Uint8Array, out: Buffer): Put {
  return (from, end, at) => {
    if (bytes[from] !== 0x22) return -1
    let o = at + 4
    for (let i = from + 1; i < end - 1; ) {
      const c = bytes[i] as number
      const letter = bytes[i + 1] as number
      if (c !== 0x5c) {
        out[o++] = c
        i++
      } else if (SIMPLE_ESCAPE[letter]) {
        out[o++] = SHORT_ESCAPES.get(letter) ?? letter
        i += 2
      } else {
        const code = unicodeEscape(bytes, i, end)
        i += code > 0xffff ? 12 : 6
        o += out.write(String.fromCodePoint(code), o, 'utf8')
      }
    }
    out.writeUInt32LE(o - at - 4, at)
    return o
  }
}

const SHORT_ESCAPES: ReadonlyMap<number, number> = new Map(
  Array.from('bfnrt').map((letter, i) => [letter.charCodeAt(0), [8, 12, 10, 13, 9][i] as number]),
)
