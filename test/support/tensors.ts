/**
 * Tensors by meaning, and TensorProto by protobufjs' own writer, in any of the forms in which a client may write one. What it
 * reads follows TensorFlow's make_ndarray, and shares nothing with the gateway.
 */
import protobuf from 'protobufjs'
import type { Message } from './tensorflow-serving.ts'
import { typeOf } from './tensorflow-serving.ts'

/** The values of a datatype: of how many bytes they are, and in which field they are typed. */
interface Datatype {
  readonly size: number
  readonly field: number
  readonly name: string
}

/** By number; a string has no size. */
export const DATATYPES: Readonly<Record<number, Datatype>> = {
  1: { size: 4, field: 5, name: 'float_val' },
  2: { size: 8, field: 6, name: 'double_val' },
  3: { size: 4, field: 7, name: 'int_val' },
  4: { size: 1, field: 7, name: 'int_val' },
  5: { size: 2, field: 7, name: 'int_val' },
  6: { size: 1, field: 7, name: 'int_val' },
  7: { size: 0, field: 8, name: 'string_val' },
  8: { size: 8, field: 9, name: 'scomplex_val' },
  9: { size: 8, field: 10, name: 'int64_val' },
  10: { size: 1, field: 11, name: 'bool_val' },
  14: { size: 2, field: 13, name: 'half_val' },
  17: { size: 2, field: 7, name: 'int_val' },
  18: { size: 16, field: 12, name: 'dcomplex_val' },
  19: { size: 2, field: 13, name: 'half_val' },
  22: { size: 4, field: 16, name: 'uint32_val' },
  23: { size: 8, field: 17, name: 'uint64_val' },
  25: { size: 1, field: 18, name: 'float8_val' },
}

/** Those whose numbers are negative where their highest bit is set. */
const SIGNED = new Set([3, 5, 6])

export interface Tensor {
  readonly dtype: number
  readonly dims: readonly number[]
  /** One of each element, in hexadecimal: a number's bytes are little-endian. */
  readonly elements: readonly string[]
}

/** Picks one of `n` ways, as a test goes. */
export type Pick = (n: number) => number

/** The message of a tensor, in one of the forms that mean it. */
export function writeTensor(tensor: Tensor, pick: Pick): Uint8Array {
  const { dtype, dims } = tensor
  const shape = protobuf.Writer.create()
  for (const size of dims) shape.uint32(18).fork().uint32(8).int64(size).ldelim()
  const parts = [
    protobuf.Writer.create().uint32(8).int32(dtype),
    protobuf.Writer.create().uint32(18).bytes(shape.finish()),
    ...valueFields(tensor, pick),
  ]
  return shuffled(
    parts.map((part) => part.finish()),
    pick,
  )
}

/** The order of values counts, that of the other fields does not. */
function shuffled([dtype, shape, ...all]: readonly Uint8Array[], pick: Pick): Uint8Array {
  all.splice(pick(all.length + 1), 0, dtype as Uint8Array)
  all.splice(pick(all.length + 1), 0, shape as Uint8Array)
  return Buffer.concat(all)
}

function valueFields({ dtype, elements }: Tensor, pick: Pick): protobuf.Writer[] {
  const { size, field } = DATATYPES[dtype] as Datatype
  if (size > 0 && elements.length > 0 && pick(2) === 0)
    return [
      protobuf.Writer.create()
        .uint32(34)
        .bytes(Buffer.from(elements.join(''), 'hex')),
    ]
  const written = pick(2) === 0 ? [...elements] : withoutRepeats(elements, size)
  if (dtype === 25) {
    const bytes = Buffer.from(written.join(''), 'hex')
    return [
      protobuf.Writer.create()
        .uint32((field << 3) | 2)
        .bytes(bytes),
    ]
  }
  const fields: protobuf.Writer[] = []
  while (written.length > 0) {
    const some = written.splice(0, 1 + pick(written.length))
    if (size === 0) fields.push(...some.map((text) => bytesField(field, Buffer.from(text, 'hex'))))
    else if (pick(2) === 0)
      for (const element of some)
        fields.push(
          ...numbers(dtype, element, (wire) => protobuf.Writer.create().uint32((field << 3) | wire)),
        )
    else {
      const list = protobuf.Writer.create()
      for (const element of some) numbers(dtype, element, () => list)
      fields.push(bytesField(field, list.finish()))
    }
  }
  return fields
}

function bytesField(field: number, bytes: Uint8Array): protobuf.Writer {
  return protobuf.Writer.create()
    .uint32((field << 3) | 2)
    .bytes(bytes)
}

/** The last value stands for those behind it, and none for zeros. */
function withoutRepeats(elements: readonly string[], size: number): string[] {
  const kept = [...elements]
  while (kept.length > 1 && kept.at(-1) === kept.at(-2)) kept.pop()
  return kept.length === 1 && kept[0] === '00'.repeat(size) ? [] : kept
}

/** Writes an element; a complex number is two. `begin`: a writer for a value of this wire type. */
function numbers(
  dtype: number,
  element: string,
  begin: (wire: number) => protobuf.Writer,
): protobuf.Writer[] {
  const bytes = Buffer.from(element, 'hex')
  if (dtype === 1 || dtype === 8) return parts(bytes, 4).map((part) => begin(5).fixed32(part.readUInt32LE()))
  if (dtype === 2 || dtype === 18) return parts(bytes, 8).map((part) => begin(1).fixed64(long(part, true)))
  if (dtype === 9) return [begin(0).int64(long(bytes, false))]
  if (dtype === 23) return [begin(0).uint64(long(bytes, true))]
  if (dtype === 22) return [begin(0).uint32(bytes.readUInt32LE())]
  return [
    begin(0).int32(SIGNED.has(dtype) ? bytes.readIntLE(0, bytes.length) : bytes.readUIntLE(0, bytes.length)),
  ]
}

function long(bytes: Buffer, unsigned: boolean): protobuf.Long {
  return { low: bytes.readInt32LE(0), high: bytes.readInt32LE(4), unsigned }
}

function parts(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: bytes.length / size }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
}

/** What a decoded TensorProto means; undefined: nothing that a server would take. */
export function meaningOf(tensor: Message): Tensor | undefined {
  const dtype = Number(tensor['dtype'] ?? 0)
  const type = DATATYPES[dtype]
  const { dim = [], unknown_rank = false } = (tensor['tensor_shape'] ?? {}) as {
    dim?: Message[]
    unknown_rank?: boolean
  }
  const dims = dim.map(({ size = 0 }) => Number(size))
  const count = dims.reduce((product, size) => product * size, 1)
  if (!type || unknown_rank || count > 10_000 || dims.some((size) => size < 0)) return undefined
  const content = (tensor['tensor_content'] ?? '') as string
  const { size } = type
  if (content !== '') {
    const elements = content.match(new RegExp(`.{${size * 2}}`, 'g')) ?? []
    return size > 0 && content.length === count * size * 2 ? { dtype, dims, elements } : undefined
  }
  const typed = tensor[type.name] ?? []
  const elements = elementsOf(dtype, typed)
  if (elements.length > count) return undefined
  const last = elements.at(-1) ?? '00'.repeat(size)
  return { dtype, dims, elements: [...elements, ...Array<string>(count - elements.length).fill(last)] }
}

function elementsOf(dtype: number, typed: unknown): string[] {
  const { size } = DATATYPES[dtype] as Datatype
  if (dtype === 25) return typeof typed === 'string' ? (typed.match(/../g) ?? []) : []
  const values = typed as readonly (string | number | boolean)[]
  if (size === 0) return values.map(String)
  const each = values.map((value) => numberBytes(dtype, value))
  if (dtype !== 8 && dtype !== 18) return each
  return each.flatMap((real, i) => (i % 2 === 0 ? [real + (each[i + 1] ?? '')] : []))
}

function numberBytes(dtype: number, value: string | number | boolean): string {
  const { size } = DATATYPES[dtype] as Datatype
  const bytes = Buffer.alloc(8)
  if (dtype === 1 || dtype === 8) bytes.writeFloatLE(Number(value))
  else if (dtype === 2 || dtype === 18) bytes.writeDoubleLE(Number(value))
  else bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)))
  const one = dtype === 8 || dtype === 18 ? size / 2 : size
  return bytes.subarray(0, one).toString('hex')
}

/** A TensorProto as protobufjs itself writes it. */
export function tensorMessage({ dtype, dims, elements }: Tensor, isContent: boolean): Message {
  const { size } = DATATYPES[dtype] as Datatype
  const head = { dtype, tensor_shape: { dim: dims.map((length) => ({ size: length })) } }
  if (isContent && size > 0) return { ...head, tensor_content: Buffer.from(elements.join(''), 'hex') }
  return { ...head, ...decodedValues({ dtype, dims, elements }) }
}

/** Typed values, read back from a message of packed ones. */
function decodedValues(tensor: Tensor): Message {
  const type = typeOf('TensorProto')
  const fields = valueFields(tensor, (n) => n - 1).map((field) => field.finish())
  const { name } = DATATYPES[tensor.dtype] as Datatype
  const decoded = type.toObject(type.decode(Buffer.concat(fields)), { longs: String }) as Message
  return name in decoded ? { [name]: decoded[name] } : {}
}
