/** What a server says of a model's inputs, as each protocol says it. */
import { MessageReader } from '../../protocol/protobuf/reader.ts'
import { MessageWriter } from '../../protocol/protobuf/writer.ts'
import { DATATYPES, type RowInput } from './input.ts'
import { DT } from './tfserving.ts'

/** An input with the dimension of the batch, if it has one; a size of -1 is any. */
export interface DescribedInput {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
}

/** Rows of the inputs: the first dimension is the batch's where it has any size. A further open size becomes `openSize`. */
export function inputsOf(described: readonly DescribedInput[], openSize: number): RowInput[] {
  return described.map(({ name, datatype, shape }) => {
    const ofRow =
      shape[0] !== undefined && shape[0] < 1 ? shape.slice(1) : shape.slice(shape[0] === 1 ? 1 : 0)
    return { name, datatype, shape: ofRow.map((size) => (size < 1 ? openSize : size)) }
  })
}

/** `GET /v1/models/M/metadata`. Undefined, here and below: this is no description. */
export function readV1Metadata(json: unknown): DescribedInput[] | undefined {
  const signatures = member(member(member(json, 'metadata'), 'signature_def'), 'signature_def')
  const inputs = member(member(signatures, 'serving_default'), 'inputs')
  if (typeof inputs !== 'object' || inputs === null) return undefined
  return known(
    Object.entries(inputs).map(([name, input]) => {
      const dims: unknown = member(member(input, 'tensor_shape'), 'dim')
      const shape = Array.isArray(dims) ? dims.map((dim) => Number(member(dim, 'size'))) : []
      return { name, datatype: NAME_OF_DT[String(member(input, 'dtype'))] ?? '', shape }
    }),
  )
}

const NAME_OF_DT: Readonly<Record<string, string>> = {
  DT_FLOAT: 'FP32',
  DT_DOUBLE: 'FP64',
  DT_STRING: 'BYTES',
  DT_HALF: 'FP16',
  DT_BFLOAT16: 'BF16',
  ...Object.fromEntries(DATATYPES.map((name) => [`DT_${name}`, name])),
}

/** `GET /v2/models/M`. */
export function readV2Metadata(json: unknown): DescribedInput[] | undefined {
  const inputs = member(json, 'inputs')
  if (!Array.isArray(inputs)) return undefined
  return known(
    inputs.map((input: unknown) => {
      const shape = member(input, 'shape')
      return {
        name: String(member(input, 'name')),
        datatype: String(member(input, 'datatype')),
        shape: Array.isArray(shape) ? shape.map(Number) : [],
      }
    }),
  )
}

/** inference.ModelMetadataRequest. */
export const askV2 = (model: string): MessageWriter => new MessageWriter().text(1, model)

/** inference.ModelMetadataResponse. Throws MalformedProtobuf, as the next. */
export function readV2Message(message: Uint8Array): DescribedInput[] | undefined {
  return known(fields(new MessageReader(message), 4).map(tensorMetadata))
}

function tensorMetadata(reader: MessageReader): DescribedInput {
  const described = { name: '', datatype: '', shape: [] as number[] }
  while (reader.next()) {
    if (reader.field === 1) described.name = text(reader)
    if (reader.field === 2) described.datatype = text(reader)
    if (reader.field === 3) described.shape.push(...numbers(reader))
  }
  return described
}

/** tensorflow.serving.GetModelMetadataRequest. */
export const askV1 = (model: string): MessageWriter =>
  new MessageWriter().message(1, new MessageWriter().text(1, model)).text(2, 'signature_def')

/** tensorflow.serving.GetModelMetadataResponse, in whose map is an Any with a SignatureDefMap. */
export function readV1Message(message: Uint8Array): DescribedInput[] | undefined {
  const any = entry(new MessageReader(message), 2, 'signature_def')
  const definitions = any && fields(any, 2)[0]
  const signature = definitions && entry(definitions, 1, 'serving_default')
  if (!signature) return undefined
  return known(
    fields(signature, 1).map((pair) => {
      const { name, value } = pairOf(pair)
      const described = { name, datatype: '', shape: [] as number[] }
      while (value?.next()) {
        if (value.field === 2) described.datatype = NAME_OF_NUMBER[value.low] ?? ''
        if (value.field === 3) described.shape = fields(value.message(), 2).map(sizeOf)
      }
      return described
    }),
  )
}

const NAME_OF_NUMBER: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(DT).map(([name, number]) => [number, name]),
)

function sizeOf(dim: MessageReader): number {
  let size = 0
  while (dim.next()) if (dim.field === 1) size = Number(dim.int64)
  return size
}

/** The values of a field that are messages. */
function fields(reader: MessageReader, field: number): MessageReader[] {
  const found: MessageReader[] = []
  while (reader.next()) if (reader.field === field) found.push(reader.message())
  return found
}

/** The value of a map's entry. */
function entry(reader: MessageReader, field: number, name: string): MessageReader | undefined {
  return fields(reader, field)
    .map(pairOf)
    .find((pair) => pair.name === name)?.value
}

function pairOf(reader: MessageReader): { readonly name: string; readonly value: MessageReader | undefined } {
  let name = ''
  let value: MessageReader | undefined
  while (reader.next()) {
    if (reader.field === 1) name = text(reader)
    if (reader.field === 2) value = reader.message()
  }
  return { name, value }
}

const text = (reader: MessageReader): string => Buffer.from(reader.utf8()).toString('utf8')

/** Packed, or one by one. */
function numbers(reader: MessageReader): number[] {
  if (reader.wire === 0) return [Number(reader.int64)]
  const packed = reader.message()
  const found: number[] = []
  while (packed.number()) found.push(Number(packed.int64))
  return found
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
}

/** Undefined where there is no input, or one that no value can be made for. */
function known(inputs: DescribedInput[]): DescribedInput[] | undefined {
  const isKnown = ({ name, datatype, shape }: DescribedInput) =>
    name !== '' && DATATYPES.some((one) => one === datatype) && shape.every(Number.isInteger)
  return inputs.length > 0 && inputs.every(isKnown) ? inputs : undefined
}
