/** The inputs of a batch as tensors: as JSON values, and as bytes in the order of Triton's binary extension. */
import { elementsAt, elementsOfRow, type RowInput, textAt } from './input.ts'

/** The elements of a row as JSON has them, flat. */
export function valuesOf(row: number, input: RowInput): (number | boolean | string)[] {
  const count = elementsOfRow(input)
  if (input.datatype === 'BYTES') return Array.from({ length: count }, (_, i) => textAt(row, i))
  const elements = Array.from(elementsAt(row, input, count))
  // An input of one number would know seventeen rows.
  if (count === 1 && input.datatype !== 'BOOL') return [scalar(row, input.datatype)]
  return input.datatype === 'BOOL' ? elements.map((value) => value > 8) : elements
}

/** The largest whole number that the datatype holds exactly, and a little less. */
const SCALARS: Readonly<Record<string, number>> = {
  INT8: 127,
  UINT8: 255,
  FP16: 2047,
  BF16: 255,
  INT16: 32_767,
  UINT16: 65_535,
}

const scalar = (row: number, datatype: string): number => row % (SCALARS[datatype] ?? 2 ** 24)

/** Flat values, nested as the shape of a row has it. */
export function nested(values: readonly unknown[], shape: readonly number[]): unknown {
  const [size = 1, ...inner] = shape
  if (inner.length === 0) return values
  const step = values.length / size
  return Array.from({ length: size }, (_, i) => nested(values.slice(i * step, (i + 1) * step), inner))
}

/** The tensor of a batch as little-endian bytes, row after row. */
export function tensorBytes(rows: readonly number[], input: RowInput): Buffer {
  const values = rows.flatMap((row) => valuesOf(row, input))
  if (input.datatype === 'BYTES') return Buffer.concat(values.map((value) => withLength(String(value))))
  const [size, put] = WRITERS[input.datatype] ?? UNKNOWN
  const bytes = Buffer.alloc(values.length * size)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (const [i, value] of values.entries()) put(view, i * size, Number(value))
  return bytes
}

function withLength(text: string): Buffer {
  const bytes = Buffer.from(`\0\0\0\0${text}`, 'utf8')
  bytes.writeUInt32LE(bytes.length - 4)
  return bytes
}

type PutElement = (view: DataView, at: number, value: number) => void

const UNKNOWN: readonly [number, PutElement] = [4, (view, at, value) => view.setFloat32(at, value, true)]

const WRITERS: Readonly<Record<string, readonly [size: number, put: PutElement]>> = {
  BOOL: [1, (view, at, value) => view.setUint8(at, value)],
  INT8: [1, (view, at, value) => view.setInt8(at, value)],
  UINT8: [1, (view, at, value) => view.setUint8(at, value)],
  INT16: [2, (view, at, value) => view.setInt16(at, value, true)],
  UINT16: [2, (view, at, value) => view.setUint16(at, value, true)],
  FP16: [2, (view, at, value) => view.setUint16(at, halfOf(value), true)],
  // The upper half of a float.
  BF16: [
    2,
    (view, at, value) => view.setUint16(at, new Uint32Array(Float32Array.of(value).buffer)[0]! >>> 16, true),
  ],
  INT32: [4, (view, at, value) => view.setInt32(at, value, true)],
  UINT32: [4, (view, at, value) => view.setUint32(at, value, true)],
  FP32: UNKNOWN,
  INT64: [8, (view, at, value) => view.setBigInt64(at, BigInt(value), true)],
  UINT64: [8, (view, at, value) => view.setBigUint64(at, BigInt(value), true)],
  FP64: [8, (view, at, value) => view.setFloat64(at, value, true)],
}

/** A whole number below 2048 as IEEE 754 half precision, which holds it exactly. */
function halfOf(value: number): number {
  if (value === 0) return 0
  const exponent = Math.floor(Math.log2(value))
  return ((exponent + 15) << 10) | ((value / 2 ** exponent - 1) * 1024)
}
