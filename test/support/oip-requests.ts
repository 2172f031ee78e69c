/**
 * Requests of the Open Inference Protocol, drawn at random and written in each form: as JSON, as JSON and blobs, and as gRPC
 * messages field by field, in any order and in every legal way. Nothing here knows the code under test.
 */
import fc from 'fast-check'
import protobuf from 'protobufjs'
import type { Message } from './oip-messages.ts'

export type Pick = () => number

export const picks = fc.infiniteStream(fc.nat()).map(
  (stream): Pick =>
    () =>
      stream.next().value as number,
)

/** A value of a tensor, as its datatype has it. */
type Value = bigint | number | boolean | string

export interface Kind {
  readonly datatype: string
  /** The field of typed values. */
  readonly list: string
  readonly field: number
  readonly value: fc.Arbitrary<Value>
  /** One value as JSON, and in a blob. */
  json(value: Value): string
  blob(value: Value): Buffer
}

const integer = (datatype: string, list: string, field: number): Kind => {
  const bits = Number(/\d+/.exec(datatype)?.[0])
  const isSigned = datatype.startsWith('INT')
  const [min, max] = isSigned
    ? [-(2n ** BigInt(bits - 1)), 2n ** BigInt(bits - 1) - 1n]
    : [0n, 2n ** BigInt(bits) - 1n]
  return {
    ...{ datatype, list, field },
    value: fc.oneof(fc.bigInt({ min, max }), fc.constantFrom(min, max, 0n)),
    json: String,
    blob(value) {
      const bytes = Buffer.alloc(8)
      bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)))
      return bytes.subarray(0, bits / 8)
    },
  }
}

const float = (datatype: string, list: string, field: number): Kind => {
  const bounds = { noNaN: true, noDefaultInfinity: true }
  const isSingle = datatype === 'FP32'
  return {
    ...{ datatype, list, field },
    value: isSingle ? fc.float(bounds) : fc.double(bounds),
    json: (value) => (Object.is(value, -0) ? '-0.0' : JSON.stringify(value)),
    blob: (value) => Buffer.from((isSingle ? Float32Array : Float64Array).of(Number(value)).buffer),
  }
}

export const KINDS: readonly Kind[] = [
  {
    ...{ datatype: 'BOOL', list: 'bool_contents', field: 1, value: fc.boolean() },
    json: String,
    blob: (value) => Buffer.of(Number(value)),
  },
  integer('INT8', 'int_contents', 2),
  integer('INT16', 'int_contents', 2),
  integer('INT32', 'int_contents', 2),
  integer('INT64', 'int64_contents', 3),
  integer('UINT8', 'uint_contents', 4),
  integer('UINT16', 'uint_contents', 4),
  integer('UINT32', 'uint_contents', 4),
  integer('UINT64', 'uint64_contents', 5),
  float('FP32', 'fp32_contents', 6),
  float('FP64', 'fp64_contents', 7),
  {
    ...{ datatype: 'BYTES', list: 'bytes_contents', field: 8 },
    value: fc.string({ unit: 'binary', maxLength: 4 }),
    json: (value) => JSON.stringify(value),
    blob(value) {
      const text = Buffer.from(String(value))
      return Buffer.concat([Buffer.from(Uint32Array.of(text.length).buffer), text])
    },
  },
]

export interface Tensor {
  readonly name: string
  readonly kind: Kind
  readonly shape: readonly number[]
  readonly values: readonly Value[]
  readonly parameters: Parameters
}

/** Values that JSON can say, too. */
export type Parameters = readonly (readonly [name: string, value: boolean | bigint | string])[]

export const name = fc.oneof(fc.constantFrom('x', 'y', 'é', '"', '\\', '\n', ''), fc.string({ maxLength: 3 }))
const parameterName = name.map((text) => `p${text}`)
export const parameters: fc.Arbitrary<Parameters> = fc.uniqueArray(
  fc.tuple(
    parameterName,
    fc.oneof(fc.boolean(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), name),
  ),
  { maxLength: 3, selector: ([key]) => key },
)
export const tensor: fc.Arbitrary<Tensor> = fc
  .record({
    name,
    parameters,
    kind: fc.constantFrom(...KINDS),
    shape: fc.array(fc.nat(3), { maxLength: 3 }),
  })
  .chain(({ kind, shape, ...rest }) => {
    const count = shape.reduce((product, size) => product * size, 1)
    const values = fc.array(kind.value, { minLength: count, maxLength: count })
    return values.map((list) => ({ ...rest, kind, shape, values: list }))
  })

export interface Request {
  readonly inputs: readonly Tensor[]
  readonly outputs: readonly { readonly name: string; readonly parameters: Parameters }[]
  readonly parameters: Parameters
}

export const request: fc.Arbitrary<Request> = fc.record({
  parameters,
  inputs: fc.uniqueArray(tensor, { minLength: 1, maxLength: 3, selector: (input) => input.name }),
  outputs: fc.uniqueArray(fc.record({ name, parameters }), {
    maxLength: 2,
    selector: (output) => output.name,
  }),
})

const jsonParameters = (list: Parameters) =>
  `{${list.map(([key, value]) => `${JSON.stringify(key)}:${typeof value === 'string' ? JSON.stringify(value) : value}`)}}`

/** The twin in JSON; values are blobs where `blobs` is given. */
export function jsonOf({ inputs, outputs, parameters }: Request, blobs?: Buffer[]): string {
  const tensors = inputs.map((input) => {
    const { kind, shape, values } = input
    const head = `"name":${JSON.stringify(input.name)},"datatype":"${kind.datatype}","shape":[${shape}]`
    if (!blobs) {
      const data = values.map((value) => kind.json(value))
      return `{${head},"data":[${data}],"parameters":${jsonParameters(input.parameters)}}`
    }
    const blob = blobOf(input)
    blobs.push(blob)
    const more = input.parameters.length > 0 ? `,${jsonParameters(input.parameters).slice(1, -1)}` : ''
    return `{${head},"parameters":{"binary_data_size":${blob.length}${more}}}`
  })
  const wanted = outputs.map(
    (output) =>
      `{"name":${JSON.stringify(output.name)},"parameters":${jsonParameters([...output.parameters])}}`,
  )
  const list = outputs.length > 0 ? `,"outputs":[${wanted}]` : ''
  return `{"inputs":[${tensors}],"parameters":${jsonParameters(parameters)}${list}}`
}

export function blobOf({ kind, values }: Tensor): Buffer {
  return Buffer.concat(values.map((value) => kind.blob(value)))
}

/** A field: its number, and its bytes with the tag. */
type Field = readonly [number: number, bytes: Uint8Array]

const write = (number: number, wire: number, put: (writer: protobuf.Writer) => void): Field => {
  const writer = protobuf.Writer.create().uint32(((number << 3) | wire) >>> 0)
  put(writer)
  return [number, writer.finish()]
}
const textField = (number: number, text: string) => write(number, 2, (writer) => writer.string(text))
const bytesField = (number: number, bytes: Uint8Array) => write(number, 2, (writer) => writer.bytes(bytes))

/** The fields in any order, but those of one number in theirs. */
function shuffled(fields: readonly Field[], pick: Pick): Buffer {
  const queues = new Map<number, Field[]>()
  for (const field of fields) queues.set(field[0], [...(queues.get(field[0]) ?? []), field])
  const out: Uint8Array[] = []
  while (queues.size > 0) {
    const number = [...queues.keys()][pick() % queues.size] as number
    const queue = queues.get(number) as Field[]
    out.push((queue.shift() as Field)[1])
    if (queue.length === 0) queues.delete(number)
  }
  return Buffer.concat(out)
}

const sometimes = (pick: Pick, field: () => Field): Field[] => (pick() % 4 === 0 ? [field()] : [])

function parameterFields(number: number, list: Parameters, pick: Pick): Field[] {
  const entry = (key: string, value: boolean | bigint | string): Field => {
    const choices = [
      // Of a choice the last one counts.
      ...sometimes(pick, () => write(4, 1, (writer) => writer.double(1.5))),
      typeof value === 'string'
        ? textField(3, value)
        : write(typeof value === 'boolean' ? 1 : 2, 0, (writer) => writer.int64(long(BigInt(value)))),
    ]
    const message = Buffer.concat(choices.map(([, bytes]) => bytes))
    return bytesField(
      number,
      shuffled([...(key === '' && pick() % 2 ? [] : [textField(1, key)]), bytesField(2, message)], pick),
    )
  }
  const shown = [...list]
  // The order of a map says nothing.
  if (shown.length > 1 && pick() % 2) shown.reverse()
  return shown.flatMap(([key, value]) => [
    ...sometimes(pick, () => entry(key, 'of another, before')),
    entry(key, value),
  ])
}

function long(value: bigint) {
  const bits = BigInt.asUintN(64, value)
  return new protobuf.util.Long(Number(bits & 0xffffffffn) | 0, Number(bits >> 32n) | 0, false)
}

/** A list of numbers: packed, one by one, or in several parts. */
function listFields<T>(
  number: number,
  wire: number,
  {
    values,
    put,
  }: { readonly values: readonly T[]; readonly put: (writer: protobuf.Writer, value: T) => void },
  pick: Pick,
): Field[] {
  const fields: Field[] = []
  for (let at = 0; at < values.length; ) {
    const part = values.slice(at, at + 1 + (pick() % values.length))
    at += part.length
    if (pick() % 2) fields.push(...part.map((value) => write(number, wire, (writer) => put(writer, value))))
    else {
      const packed = protobuf.Writer.create()
      for (const value of part) put(packed, value)
      fields.push(bytesField(number, packed.finish()))
    }
  }
  return fields
}

function contentsFields({ kind, values }: Tensor, pick: Pick): Field[] {
  const { field } = kind
  const wire = field === 6 ? 5 : field === 7 ? 1 : 0
  const put = (writer: protobuf.Writer, value: Value) => {
    if (typeof value === 'boolean') writer.bool(value)
    else if (typeof value === 'bigint') writer.int64(long(value))
    else if (field === 6) writer.float(Number(value))
    else writer.double(Number(value))
  }
  const fields =
    field === 8
      ? values.map((value) => textField(8, String(value)))
      : listFields(field, wire, { values, put }, pick)
  if (fields.length === 0 && pick() % 2) return []
  const cut = pick() % (fields.length + 1)
  const parts = pick() % 3 === 0 ? [fields.slice(0, cut), fields.slice(cut)] : [fields]
  return parts.map((part) => bytesField(5, Buffer.concat(part.map(([, bytes]) => bytes))))
}

/** The request as a message, in one of the many ways to write it. */
export function messageOf({ inputs, outputs, parameters }: Request, pick: Pick, isRaw: boolean): Buffer {
  const tensors = inputs.map((input) => {
    const sizes = { values: input.shape, put: (writer: protobuf.Writer, size: number) => writer.uint32(size) }
    const fields = [
      ...sometimes(pick, () => textField(1, 'before')),
      textField(1, input.name),
      textField(2, input.kind.datatype),
      ...listFields(3, 0, sizes, pick),
      ...parameterFields(4, input.parameters, pick),
      ...(isRaw ? [] : contentsFields(input, pick)),
    ]
    return bytesField(5, shuffled(fields, pick))
  })
  const wanted = outputs.map((output) =>
    bytesField(
      6,
      shuffled([textField(1, output.name), ...parameterFields(2, output.parameters, pick)], pick),
    ),
  )
  const fields = [
    textField(1, 'm'),
    ...sometimes(pick, () => textField(2, '')),
    ...sometimes(pick, () => textField(3, 'an id')),
    ...parameterFields(4, parameters, pick),
    ...tensors,
    ...wanted,
    ...(isRaw ? inputs.map((input) => bytesField(7, blobOf(input))) : []),
  ]
  return shuffled(fields, pick)
}

export function answerMessage(outputs: readonly Tensor[], isRaw: boolean): Message {
  const protoParameters = (list: Parameters) =>
    Object.fromEntries(
      list.map(([key, value]) => [
        key,
        typeof value === 'string'
          ? { string_param: value }
          : typeof value === 'boolean'
            ? { bool_param: value }
            : { int64_param: String(value) },
      ]),
    )
  return {
    ...{ model_name: 'm', model_version: '3', id: 'of the server' },
    outputs: outputs.map((output) => ({
      ...{ name: output.name, datatype: output.kind.datatype, shape: output.shape },
      parameters: protoParameters(output.parameters),
      ...(isRaw || output.values.length === 0
        ? {}
        : { contents: { [output.kind.list]: output.values.map(plain) } }),
    })),
    ...(isRaw ? { raw_output_contents: outputs.map(blobOf) } : {}),
  }
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  return typeof value === 'string' ? Buffer.from(value) : value
}
