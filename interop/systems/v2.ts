/** Requests of the Open Inference protocol in every datatype, as JSON and with binary tensors. */
import type { Ask } from '../suite/ask.ts'
import type { Exchange } from '../suite/exchanges.ts'

export interface Tensor {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  /** JSON texts of the elements, so that integers of 64 bits keep their digits. */
  readonly data: readonly string[]
  readonly parameters?: Readonly<Record<string, unknown>>
}

const SAMPLES: Readonly<Record<string, readonly string[]>> = {
  BOOL: ['true', 'false', 'false', 'true'],
  INT8: ['-128', '0', '7', '127'],
  INT16: ['-32768', '0', '7', '32767'],
  INT32: ['-2147483648', '0', '7', '2147483647'],
  INT64: ['-9223372036854775808', '9007199254740993', '7', '9223372036854775807'],
  UINT8: ['0', '1', '7', '255'],
  UINT16: ['0', '1', '7', '65535'],
  UINT32: ['0', '1', '7', '4294967295'],
  UINT64: ['0', '9007199254740993', '7', '18446744073709551615'],
  BF16: ['0.5', '-2.0', '1.5', '3.3895313892515355e38'],
  FP16: ['0.5', '-2.0', '1.5', '65504.0'],
  FP32: ['0.1', '-0.0', '1e-40', '3.4e38'],
  FP64: ['0.1', '-0.0', '5e-324', '1.7e308'],
  BYTES: ['"plain"', '"ünï 日本 😀"', '"a\\"b\\\\c\\n"', '""'],
}

/** Those that every server takes. */
export const DATATYPES: readonly string[] = Object.keys(SAMPLES).filter((datatype) => datatype !== 'BF16')

/** With BF16, which Triton alone takes: KServe and MLServer have no such datatype. */
export const ALL_DATATYPES: readonly string[] = [...DATATYPES, 'BF16']

/** Two rows of two elements: the extremes of the datatype. */
export const sample = (name: string, datatype: string, shape: readonly number[] = [2, 2]): Tensor => ({
  name,
  datatype,
  shape,
  data: SAMPLES[datatype] ?? [],
})

export interface InferOptions {
  readonly id?: string
  readonly parameters?: Readonly<Record<string, unknown>>
  readonly outputs?: readonly unknown[]
}

/** A request with all tensors in JSON. */
export function inferJson(model: string, inputs: readonly Tensor[], options: InferOptions = {}): Ask {
  const members = Object.entries(options).map(([name, value]) => `"${name}": ${JSON.stringify(value)}`)
  const body = `{${[...members, `"inputs": [${inputs.map(jsonTensor).join(', ')}]`].join(', ')}}`
  return { path: `/v2/models/${model}/infer`, fields: { 'content-type': 'application/json' }, body }
}

/** A request whose tensors follow the JSON as bytes, which asks for outputs in the same form. */
export function inferBinary(model: string, inputs: readonly Tensor[], options: InferOptions = {}): Ask {
  const blobs = inputs.map(bytesOf)
  const heads = inputs.map(({ name, datatype, shape, parameters }, at) => ({
    name,
    datatype,
    shape,
    parameters: { ...parameters, binary_data_size: blobs[at]?.length },
  }))
  const head = Buffer.from(
    JSON.stringify({
      ...options,
      parameters: { ...options.parameters, binary_data_output: true },
      inputs: heads,
    }),
  )
  return {
    path: `/v2/models/${model}/infer`,
    fields: {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': String(head.length),
    },
    body: Buffer.concat([head, ...blobs]),
  }
}

/** One exchange a datatype, in one of the two forms. */
export const everyDatatype = (
  form: (datatype: string) => Ask,
  again: (datatype: string) => Exchange['again'] = () => 'hit',
  datatypes: readonly string[] = DATATYPES,
): Exchange[] => datatypes.map((datatype) => ({ name: datatype, again: again(datatype), ...form(datatype) }))

function jsonTensor({ name, datatype, shape, data, parameters }: Tensor): string {
  const head = JSON.stringify({ name, datatype, shape, ...(parameters === undefined ? {} : { parameters }) })
  return `${head.slice(0, -1)}, "data": [${data.join(', ')}]}`
}

type Writer = (view: DataView, at: number, text: string) => void

const NUMBERS: Readonly<Record<string, readonly [size: number, write: Writer]>> = {
  BOOL: [1, (view, at, text) => view.setUint8(at, text === 'true' ? 1 : 0)],
  INT8: [1, (view, at, text) => view.setInt8(at, Number(text))],
  INT16: [2, (view, at, text) => view.setInt16(at, Number(text), true)],
  INT32: [4, (view, at, text) => view.setInt32(at, Number(text), true)],
  INT64: [8, (view, at, text) => view.setBigInt64(at, BigInt(text), true)],
  UINT8: [1, (view, at, text) => view.setUint8(at, Number(text))],
  UINT16: [2, (view, at, text) => view.setUint16(at, Number(text), true)],
  UINT32: [4, (view, at, text) => view.setUint32(at, Number(text), true)],
  UINT64: [8, (view, at, text) => view.setBigUint64(at, BigInt(text), true)],
  BF16: [2, (view, at, text) => view.setUint16(at, upperHalf(Number(text)), true)],
  FP16: [2, (view, at, text) => view.setFloat16(at, Number(text), true)],
  FP32: [4, (view, at, text) => view.setFloat32(at, Number(text), true)],
  FP64: [8, (view, at, text) => view.setFloat64(at, Number(text), true)],
}

/** A bfloat16 is the upper half of a float32. */
function upperHalf(value: number): number {
  const view = new DataView(new ArrayBuffer(4))
  view.setFloat32(0, value)
  return view.getUint16(0)
}

function bytesOf({ datatype, data }: Tensor): Buffer {
  const number = NUMBERS[datatype]
  if (number === undefined) return Buffer.concat(data.map(lengthPrefixed))
  const [size, write] = number
  const bytes = Buffer.alloc(size * data.length)
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  data.forEach((text, at) => write(view, at * size, text))
  return bytes
}

function lengthPrefixed(json: string): Buffer {
  const text = Buffer.from(JSON.parse(json) as string)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(text.length)
  return Buffer.concat([length, text])
}
