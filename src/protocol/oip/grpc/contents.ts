/**
 * Typed values (`InferTensorContents`) as the blob that raw contents, and Triton's binary extension, have for the same tensor,
 * and the other way round. FP16 and BF16 have no typed form.
 */
import { encodeVarints } from '../../protobuf/packed.ts'
import { BYTES, FIXED32, FIXED64, MalformedProtobuf, MessageReader, VARINT } from '../../protobuf/reader.ts'
import { MessageWriter } from '../../protobuf/writer.ts'
import { ELEMENT_BYTES, elementsOf, type TensorType, textOffsets } from '../tensor.ts'
import { KeptFields } from './fields.ts'

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

/** Whether values of the datatype have a typed form. */
export function hasContents(datatype: string): boolean {
  return FIELDS.has(datatype)
}

/** How an element is written by itself, by field. */
const WIRES = [BYTES, VARINT, VARINT, VARINT, VARINT, VARINT, FIXED32, FIXED64, BYTES]

export interface Contents {
  readonly blob: Uint8Array
  /** Fields that are unknown here, as written, one behind the other; mostly none. */
  readonly unknown: Uint8Array
}

/**
 * The values in `parts`, which are merged, as a blob; undefined: they are not the values of a tensor of this type. Throws
 * `MalformedProtobuf`.
 */
export function blobOfContents(parts: readonly Uint8Array[], type: TensorType): Contents | undefined {
  const field = FIELDS.get(type.datatype)
  const written = measure(parts, field)
  const blob = written && blobOfValues(parts, written, type)
  return blob && { blob, unknown: written.unknown }
}

/** How the values are written. */
interface Written {
  /** The only list, if there is no more than one. */
  readonly only: Uint8Array | undefined
  /** How many lists, and values that stand by themselves, there are. */
  readonly count: number
  /** The bytes of all values. */
  readonly length: number
  readonly unknown: Uint8Array
}

/** Looks at the fields before anything is allocated for them; undefined: there are values of another type than `field`. */
function measure(parts: readonly Uint8Array[], field: number | undefined): Written | undefined {
  let [count, length] = [0, 0]
  let only: Uint8Array | undefined
  const unknown: Uint8Array[] = []
  for (const part of parts) {
    const kept = new KeptFields(part)
    const reader = new MessageReader(part)
    while (reader.next()) {
      const wire = WIRES[reader.field]
      if (wire === undefined) kept.keep(reader)
      else if (reader.wire !== wire && reader.wire !== BYTES)
        throw new MalformedProtobuf('a value has another type')
      else if (reader.field === TEXTS || reader.start < reader.end) {
        if (reader.field !== field) return undefined
        only = count++ === 0 ? reader.bytes() : undefined
        length += reader.end - reader.start
      }
    }
    if (!kept.isEmpty) unknown.push(kept.bytes())
  }
  return { only, count, length, unknown: Buffer.concat(unknown) }
}

function blobOfValues(
  parts: readonly Uint8Array[],
  { only, count, length }: Written,
  { datatype, shape }: TensorType,
): Uint8Array | undefined {
  const elements = elementsOf(shape)
  const field = FIELDS.get(datatype)
  if (elements === undefined || (elements === 0) !== (count === 0)) return undefined
  if (elements === 0) return NOTHING
  if (field === TEXTS) return count === elements ? textsOf(parts, length + count * 4) : undefined
  const size = ELEMENT_BYTES.get(datatype)
  // Each value takes at least a byte, so the length of the request bounds the allocation.
  if (field === undefined || size === undefined || elements > length) return undefined
  if (WIRES[field] === VARINT)
    return numbersOf(parts, field, elementPut(datatype, Buffer.allocUnsafe(elements * size)))
  if (length !== elements * size) return undefined
  return only ?? bytesOf(parts, field, Buffer.allocUnsafe(length))
}

const NOTHING = new Uint8Array(0)

/** Visits the values of a field in all parts. */
function eachValue(
  parts: readonly Uint8Array[],
  field: number,
  visit: (reader: MessageReader) => boolean,
): boolean {
  for (const part of parts) {
    const reader = new MessageReader(part)
    while (reader.next()) if (reader.field === field && !visit(reader)) return false
  }
  return true
}

/** Strings, each behind four bytes with its length. */
function textsOf(parts: readonly Uint8Array[], length: number): Uint8Array {
  const out = Buffer.allocUnsafe(length)
  let at = 0
  eachValue(parts, TEXTS, ({ source, start, end }) => {
    at = out.writeUInt32LE(end - start, at)
    return (at = copy(source, { start, end }, { out, at })) > 0
  })
  return out
}

function bytesOf(parts: readonly Uint8Array[], field: number, out: Buffer): Uint8Array {
  let at = 0
  eachValue(parts, field, ({ source, start, end }) => (at = copy(source, { start, end }, { out, at })) >= 0)
  return out
}

/** Copies bytes, most often a few, and returns the index behind them. */
function copy(
  source: Uint8Array,
  { start, end }: { readonly start: number; readonly end: number },
  { out, at }: { readonly out: Buffer; readonly at: number },
): number {
  if (end - start > 32) out.set(source.subarray(start, end), at)
  else for (let i = start; i < end; i++) out[at + i - start] = source[i] as number
  return at + end - start
}

function numbersOf(parts: readonly Uint8Array[], field: number, put: ElementPut): Uint8Array | undefined {
  const fits = eachValue(parts, field, (reader) => {
    if (reader.wire === VARINT) return put.take(reader.low, reader.high)
    const list = reader.message()
    while (list.number()) if (!put.take(list.low, list.high)) return false
    return true
  })
  return fits && put.isFull ? put.out : undefined
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
  const isVarint = WIRES[field] === VARINT
  return contents.bytes(field, isVarint ? encodeVarints(blob, size, type.datatype.startsWith('INT')) : blob)
}
