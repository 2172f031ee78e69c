/** A tensor in the form in which TensorFlow's protocol buffers have it. */

/** Numbers of `tensorflow.DataType`. */
export const DATA_TYPES = {
  FLOAT: 1,
  DOUBLE: 2,
  INT32: 3,
  UINT8: 4,
  INT16: 5,
  INT8: 6,
  STRING: 7,
  INT64: 9,
  BOOL: 10,
  BFLOAT16: 14,
  UINT16: 17,
  HALF: 19,
  UINT32: 22,
  UINT64: 23,
} as const

export type DataType = keyof typeof DATA_TYPES

export interface LoggedTensor {
  readonly type: DataType
  readonly shape: readonly number[]
  /** The elements, row-major and little-endian; of strings, each by itself. */
  readonly content: Uint8Array | readonly Uint8Array[]
}

export type LoggedTensors = ReadonlyMap<string, LoggedTensor>

/** A value as JSON spells it: a number that is no integer by its spelling (`1.0`) is told from one that is. */
export type Scalar = number | bigint | boolean | string | Spelled

/** A number whose value is an integer and whose spelling is not. */
export class Spelled {
  readonly value: number

  constructor(value: number) {
    this.value = value
  }
}

/** Bytes of an element and how it is written; FP16 and BF16 have no JSON form. */
const WRITERS: Readonly<
  Partial<Record<DataType, [number, (view: DataView, at: number, value: Scalar) => void]>>
> = {
  FLOAT: [4, (view, at, value) => view.setFloat32(at, numberOf(value), true)],
  DOUBLE: [8, (view, at, value) => view.setFloat64(at, numberOf(value), true)],
  INT8: [1, (view, at, value) => view.setInt8(at, numberOf(value))],
  UINT8: [1, (view, at, value) => view.setUint8(at, numberOf(value))],
  BOOL: [1, (view, at, value) => view.setUint8(at, value === true || value === 1 ? 1 : 0)],
  INT16: [2, (view, at, value) => view.setInt16(at, numberOf(value), true)],
  UINT16: [2, (view, at, value) => view.setUint16(at, numberOf(value), true)],
  INT32: [4, (view, at, value) => view.setInt32(at, numberOf(value), true)],
  UINT32: [4, (view, at, value) => view.setUint32(at, numberOf(value), true)],
  INT64: [8, (view, at, value) => view.setBigInt64(at, bigOf(value), true)],
  UINT64: [8, (view, at, value) => view.setBigUint64(at, bigOf(value), true)],
}

/** Throws a TypeError, or a RangeError, where a value is none of the type. */
export function tensorOf(type: DataType, shape: readonly number[], values: readonly Scalar[]): LoggedTensor {
  if (type === 'STRING') return { type, shape, content: values.map(bytesOf) }
  const [size, write] = WRITERS[type] ?? unwritten(type)
  const content = new Uint8Array(values.length * size)
  const view = new DataView(content.buffer)
  for (const [i, value] of values.entries()) write(view, i * size, value)
  return { type, shape, content }
}

export function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

function numberOf(value: Scalar): number {
  if (typeof value === 'number') return value
  if (value instanceof Spelled) return value.value
  if (typeof value === 'bigint') return Number(value)
  throw new TypeError(`a ${typeof value} among numbers`)
}

function bigOf(value: Scalar): bigint {
  return typeof value === 'bigint' ? value : BigInt(numberOf(value))
}

function bytesOf(value: Scalar): Uint8Array {
  if (typeof value !== 'string') throw new TypeError(`a ${typeof value} among strings`)
  return Buffer.from(value)
}

function unwritten(type: DataType): never {
  throw new TypeError(`${type} has no form in JSON`)
}
