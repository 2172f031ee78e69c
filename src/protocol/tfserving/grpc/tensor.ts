/**
 * `tensorflow.TensorProto` by meaning: datatype, shape and values, whichever of its fields the values are in. It follows
 * TensorFlow's own reading (tensorflow/core/framework/tensor.cc, FromProto): values that are fewer than the shape asks for are
 * followed by copies of the last one, and none at all are zeros. What its two implementations read differently, such as more
 * values than the shape has, is not cached.
 */
import { encodeVarints } from '../../protobuf/packed.ts'
import { BYTES, FIXED32, FIXED64, VARINT } from '../../protobuf/reader.ts'
import type { FieldReader, MessageSource } from '../../protobuf/source.ts'
import { MessageWriter } from '../../protobuf/writer.ts'
import { BypassReason, NOTHING, needBytes, needWire, OtherFields, once, textOf } from './fields.ts'
import { stringsIn } from './strings.ts'

/** How the values of a datatype are written. */
interface ElementType {
  /** Bytes of an element in `tensor_content`; 0: a string. */
  readonly size: number
  /** The field of typed values. */
  readonly field: number
  /** How that writes a number; `BYTES`: a string, or all values in one. */
  readonly wire: number
  readonly isSigned?: boolean
}

export const BOOL = 10
const CONTENT_FIELD = 4
const STRING_FIELD = 8
const FLOAT8_FIELD = 18

const float8: ElementType = { size: 1, field: FLOAT8_FIELD, wire: BYTES }
const int = (size: number): ElementType => ({ size, field: 7, wire: VARINT, isSigned: true })
const uint = (size: number, field = 7): ElementType => ({ size, field, wire: VARINT })

/** By the number of the datatype (types.proto). Resources and variants are never served, and the four-bit types are packed in no agreed way. */
const ELEMENT_TYPES: ReadonlyMap<number, ElementType> = new Map([
  [1, { size: 4, field: 5, wire: FIXED32 }],
  [2, { size: 8, field: 6, wire: FIXED64 }],
  [3, int(4)],
  [4, uint(1)],
  [5, int(2)],
  [6, int(1)],
  [7, { size: 0, field: STRING_FIELD, wire: BYTES }],
  [8, { size: 8, field: 9, wire: FIXED32 }],
  [9, { size: 8, field: 10, wire: VARINT }],
  [BOOL, uint(1, 11)],
  [11, int(1)],
  [12, uint(1)],
  [13, int(4)],
  [14, uint(2, 13)],
  [15, int(2)],
  [16, uint(2)],
  [17, uint(2)],
  [18, { size: 16, field: 12, wire: FIXED64 }],
  [19, uint(2, 13)],
  [22, uint(4, 16)],
  [23, { size: 8, field: 17, wire: VARINT }],
  ...[24, 25, 26, 27, 28].map((dtype) => [dtype, float8] as const),
])

/** The wire type of one value of each field that has values. */
const VALUE_WIRES: ReadonlyMap<number, number> = new Map(
  [...ELEMENT_TYPES.values()].map(({ field, wire }) => [field, wire]),
)

/** A tensor whose values have been located. */
export interface TensorPlace {
  readonly dtype: number
  readonly type: ElementType
  readonly dims: readonly number[]
  /** Elements in all. */
  readonly count: number
  /** What the message says besides of each dimension, of the shape, and of the tensor. */
  readonly others: {
    readonly dims: readonly Uint8Array[]
    readonly shape: Uint8Array
    readonly tensor: Uint8Array
  }
  /** The values are in `tensor_content`. */
  readonly isContent: boolean
  /** Start and end of each piece of the values, numbers packed or not. */
  readonly runs: readonly number[]
}

interface Shape {
  readonly dims: readonly number[]
  readonly dimOthers: readonly Uint8Array[]
  readonly others: Uint8Array
}

/** Locates the values of a tensor. */
export function locateTensor(source: MessageSource, fields: FieldReader): TensorPlace {
  const others = new OtherFields()
  const values = new ValueFields()
  let dtype = 0
  let version = 0
  let shape: Shape | undefined
  for (let from = fields.at; fields.next(); from = fields.at) {
    const { field } = fields
    if (field === 1) dtype = needWire(fields, VARINT).int32
    else if (field === 2) {
      once(shape !== undefined)
      shape = readShape(source, needBytes(fields).message())
    } else if (field === 3) version = needWire(fields, VARINT).int32
    // A resource or a variant.
    else if (field === 14 || field === 15) throw new BypassReason('tensor-type')
    else if (!values.take(fields)) others.add(source, fields, from)
  }
  const type = ELEMENT_TYPES.get(dtype)
  if (!type) throw new BypassReason('tensor-type')
  if (version !== 0) others.put(3, new MessageWriter().varint(3, version).join())
  const { dims, dimOthers, others: ofShape } = shape ?? SCALAR
  return {
    dtype,
    type,
    dims,
    count: elementsIn(dims),
    others: { dims: dimOthers, shape: ofShape, tensor: others.join() },
    ...values.placesFor(type),
  }
}

/** The fields of a tensor that have its values: one of them, and perhaps more than once. */
class ValueFields {
  #content: readonly number[] = []
  #field = 0
  readonly #runs: number[] = []

  /** Takes the field that was read last; false: it has no values. */
  take(fields: FieldReader): boolean {
    const { field, start, end } = fields
    if (field === CONTENT_FIELD) {
      this.#content = start < needBytes(fields).end ? [start, end] : []
      return true
    }
    const wire = VALUE_WIRES.get(field)
    if (wire === undefined) return false
    if (fields.wire !== wire) needBytes(fields)
    // An empty list has no values, an empty string is one.
    if (start === end && field !== STRING_FIELD) return true
    const isRepeat = this.#field === field && field !== FLOAT8_FIELD
    if (this.#field !== 0 && !isRepeat) throw new BypassReason('tensor-values')
    this.#field = field
    this.#runs.push(start, end)
    return true
  }

  placesFor({ size, field }: ElementType): Pick<TensorPlace, 'isContent' | 'runs'> {
    const isContent = this.#content.length > 0
    const isFitting = this.#field === 0 || (!isContent && this.#field === field)
    // How strings are written in `tensor_content` is TensorFlow's own affair.
    if (!isFitting || (isContent && size === 0)) throw new BypassReason('tensor-values')
    return { isContent, runs: isContent ? this.#content : this.#runs }
  }
}

const SCALAR: Shape = { dims: [], dimOthers: [], others: NOTHING }
/** As TensorFlow has it. */
const MAX_DIMS = 254

function readShape(source: MessageSource, fields: FieldReader): Shape {
  const others = new OtherFields()
  const dims: number[] = []
  const dimOthers: Uint8Array[] = []
  for (let from = fields.at; fields.next(); from = fields.at) {
    if (fields.field === 2) {
      const { size, rest } = readDim(source, needBytes(fields).message())
      dims.push(size)
      dimOthers.push(rest)
      if (dims.length > MAX_DIMS) throw new BypassReason('tensor-shape')
    } else if (fields.field !== 3) others.add(source, fields, from)
    else if (needWire(fields, VARINT).isTrue) throw new BypassReason('tensor-shape')
  }
  return { dims, dimOthers, others: others.join() }
}

function readDim(
  source: MessageSource,
  fields: FieldReader,
): { readonly size: number; readonly rest: Uint8Array } {
  const others = new OtherFields()
  let size: number | undefined = 0
  let name: Uint8Array | undefined
  for (let from = fields.at; fields.next(); from = fields.at) {
    if (fields.field === 1) size = needWire(fields, VARINT).safeInt64
    else if (fields.field === 2) name = Buffer.from(textOf(fields))
    else others.add(source, fields, from)
  }
  if (size === undefined || size < 0) throw new BypassReason('tensor-shape')
  if (name && name.length > 0) others.put(2, new MessageWriter().bytes(2, name).join())
  return { size, rest: others.join() }
}

function elementsIn(dims: readonly number[]): number {
  const count = dims.reduce((product, size) => product * size, 1)
  if (!Number.isSafeInteger(count)) throw new BypassReason('tensor-shape')
  return count
}

/** The tensor without its values, of so many rows if it has others than before: what a key and a frame hold of it. */
export function headOf({ dtype, dims, others }: TensorPlace, rows = dims[0]): MessageWriter {
  const shape = new MessageWriter()
  for (const [i, size] of dims.entries()) {
    const dim = new MessageWriter().varint(1, i === 0 ? (rows as number) : size)
    shape.message(2, dim.raw(others.dims[i] as Uint8Array))
  }
  return new MessageWriter().varint(1, dtype).message(2, shape.raw(others.shape)).raw(others.tensor)
}

/** A tensor of so many rows in the fields that this one's values are in; `parts`: the values in order, as `TensorValues` are. */
export function writeTensor(tensor: TensorPlace, rows: number, parts: readonly Uint8Array[]): MessageWriter {
  const { type, isContent } = tensor
  const message = headOf(tensor, rows)
  if (isContent) return message.message(CONTENT_FIELD, piecesOf(parts))
  if (type.size === 0) {
    for (const part of parts) for (const text of stringsIn(part)) message.bytes(type.field, text)
    return message
  }
  if (type.wire !== VARINT) return message.message(type.field, piecesOf(parts))
  return message.bytes(type.field, encodeVarints(Buffer.concat(parts), type.size, type.isSigned === true))
}

function piecesOf(parts: readonly Uint8Array[]): MessageWriter {
  const pieces = new MessageWriter()
  for (const part of parts) pieces.raw(part)
  return pieces
}
