/**
 * Typed values (`InferTensorContents`) as the blob that raw contents, and Triton's binary extension, have for the same tensor,
 * and the other way round. FP16 and BF16 have no typed form.
 */
import { BYTES, FIXED32, FIXED64, MalformedProtobuf, MessageReader, VARINT } from '../../protobuf/reader.ts'
import { MessageWriter, putVarint } from '../../protobuf/writer.ts'
import { ELEMENT_BYTES, elementsOf, type TensorType, textOffsets } from '../tensor.ts'

/** The field that holds the values of each datatype. */
const FIELDS: ReadonlyMap<string, number> = new Map([
  ['BOOL', 1],
  ['INT8', 2],
  ['INT16', 2],
  ['INT32', 2],
  ['INT64', 3],
  ['UINT8', 4],
  ['UINT16', 4],
  ['UINT32', 4],
  ['UINT64', 5],
  ['FP32', 6],
  ['FP64', 7],
  ['BYTES', 8],
])
const TEXTS = 8
/** How an element is written by itself, by field. */
const WIRES = [BYTES, VARINT, VARINT, VARINT, VARINT, VARINT, FIXED32, FIXED64, BYTES]

export interface Contents {
  readonly blob: Uint8Array
  /** Fields that are unknown here, as written. */
  readonly unknown: readonly Uint8Array[]
}

/**
 * The values in `parts`, which are merged, as a blob; undefined: they are not the values of a tensor of this type. Throws
 * `MalformedProtobuf`.
 */
export function blobOfContents(parts: readonly Uint8Array[], type: TensorType): Contents | undefined {
  const written = collect(parts, FIELDS.get(type.datatype))
  const blob = written && blobOfValues(written, type)
  return blob && { blob, unknown: written.unknown }
}

/** Values as they are written: one, or a packed list. */
interface Written {
  readonly values: readonly Uint8Array[]
  /** The bytes of all values. */
  readonly length: number
  readonly unknown: readonly Uint8Array[]
}

/** Undefined: there are values of another type than that of `field`. */
function collect(parts: readonly Uint8Array[], field: number | undefined): Written | undefined {
  const values: Uint8Array[] = []
  const unknown: Uint8Array[] = []
  let length = 0
  for (const part of parts) {
    const reader = new MessageReader(part)
    while (reader.next()) {
      const wire = WIRES[reader.field]
      if (wire === undefined) {
        unknown.push(reader.whole())
        continue
      }
      if (reader.wire !== wire && reader.wire !== BYTES)
        throw new MalformedProtobuf('a value has another type')
      // An empty list says nothing, whatever its type.
      if (reader.field !== TEXTS && reader.start === reader.end) continue
      if (reader.field !== field) return undefined
      values.push(reader.bytes())
      length += reader.end - reader.start
    }
  }
  return { values, length, unknown }
}

function blobOfValues({ values, length }: Written, { datatype, shape }: TensorType): Uint8Array | undefined {
  const count = elementsOf(shape)
  const field = FIELDS.get(datatype)
  if (count === undefined || (count === 0) !== (values.length === 0)) return undefined
  if (count === 0) return NOTHING
  if (field === TEXTS) return values.length === count ? joinTexts(values, length) : undefined
  const size = ELEMENT_BYTES.get(datatype)
  // Each value takes at least a byte, so the length of the request bounds the allocation.
  if (field === undefined || size === undefined || count > length) return undefined
  if (WIRES[field] === VARINT) return blobOfVarints(values, datatype, count * size)
  const [only] = values
  if (length !== count * size) return undefined
  return values.length === 1 ? only : Buffer.concat(values, length)
}

function blobOfVarints(
  values: readonly Uint8Array[],
  datatype: string,
  size: number,
): Uint8Array | undefined {
  const put = elementPut(datatype, Buffer.allocUnsafe(size))
  for (const value of values) {
    const reader = new MessageReader(value)
    while (reader.number()) if (!put.take(reader.low, reader.high)) return undefined
  }
  return put.isFull ? put.out : undefined
}

const NOTHING = new Uint8Array(0)

/** Each behind four bytes with its length. */
function joinTexts(values: readonly Uint8Array[], length: number): Uint8Array {
  const out = Buffer.allocUnsafe(length + values.length * 4)
  let at = 0
  for (const value of values) {
    at = out.writeUInt32LE(value.length, at)
    out.set(value, at)
    at += value.length
  }
  return out
}

/** Writes varints as the elements of a blob. */
interface ElementPut {
  readonly out: Buffer
  readonly isFull: boolean
  /** False: it is no value of the datatype, or one too many. */
  take(low: number, high: number): boolean
}

function elementPut(datatype: string, out: Buffer): ElementPut {
  const size = ELEMENT_BYTES.get(datatype) as number
  const isSigned = datatype.startsWith('INT')
  const bits = 32 - size * 8
  let at = 0
  return {
    out,
    get isFull() {
      return at === out.length
    },
    take(low, high) {
      if (at + size > out.length) return false
      if (size === 8) {
        out.writeUInt32LE(low, at)
        out.writeUInt32LE(high, at + 4)
      } else if (datatype === 'BOOL') out[at] = low === 0 && high === 0 ? 0 : 1
      // What the field's type can hold, but the tensor's cannot, each server reads in its own way.
      else if (isSigned ? (low << bits) >> bits !== (low | 0) : (low << bits) >>> bits !== low) return false
      else for (let i = 0; i < size; i++) out[at + i] = low >>> (8 * i)
      at += size
      return true
    },
  }
}

/** The message of a tensor's typed values; undefined: its datatype has none, or the blob has another size. */
export function contentsOfBlob(blob: Uint8Array, type: TensorType): MessageWriter | undefined {
  const field = FIELDS.get(type.datatype)
  const size = ELEMENT_BYTES.get(type.datatype)
  const count = elementsOf(type.shape)
  if (field === undefined || count === undefined) return undefined
  const contents = new MessageWriter()
  if (field === TEXTS) {
    const offsets = textOffsets(blob, count)
    if (!offsets) return undefined
    for (let i = 0; i < count; i++)
      contents.bytes(TEXTS, blob.subarray((offsets[i] as number) + 4, offsets[i + 1]))
    return contents
  }
  if (size === undefined || blob.length !== count * size) return undefined
  if (count === 0) return contents
  return contents.bytes(field, WIRES[field] === VARINT ? varints(blob, type.datatype, size) : blob)
}

/** The longest varint. */
const MAX_VARINT = 10

function varints(blob: Uint8Array, datatype: string, size: number): Uint8Array {
  const view = new DataView(blob.buffer, blob.byteOffset, blob.length)
  const out = Buffer.allocUnsafe((blob.length / size) * MAX_VARINT)
  const isSigned = datatype.startsWith('INT')
  let end = 0
  for (let at = 0; at < blob.length; at += size) {
    const low = lowOf(view, at, { size, isSigned })
    const high = size === 8 ? view.getUint32(at + 4, true) : low < 0 ? -1 : 0
    end = putVarint(out, end, low, high)
  }
  return out.subarray(0, end)
}

function lowOf(view: DataView, at: number, { size, isSigned }: { size: number; isSigned: boolean }): number {
  switch (size) {
    case 1:
      return isSigned ? view.getInt8(at) : view.getUint8(at)
    case 2:
      return isSigned ? view.getInt16(at, true) : view.getUint16(at, true)
    case 4:
      return isSigned ? view.getInt32(at, true) : view.getUint32(at, true)
    default:
      return view.getUint32(at, true)
  }
}
