/** The tensors of the Open Inference protocol, in JSON and in the binary extension, which also say their datatypes. */
import {
  type DataType,
  elements,
  type LoggedTensor,
  type LoggedTensors,
  type Scalar,
  tensorOf,
} from './tensor.ts'

const TYPES: ReadonlyMap<string, DataType> = new Map([
  ['BOOL', 'BOOL'],
  ['INT8', 'INT8'],
  ['INT16', 'INT16'],
  ['INT32', 'INT32'],
  ['INT64', 'INT64'],
  ['UINT8', 'UINT8'],
  ['UINT16', 'UINT16'],
  ['UINT32', 'UINT32'],
  ['UINT64', 'UINT64'],
  ['FP16', 'HALF'],
  ['BF16', 'BFLOAT16'],
  ['FP32', 'FLOAT'],
  ['FP64', 'DOUBLE'],
  ['BYTES', 'STRING'],
])

interface V2Tensor {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly data?: unknown
  readonly parameters?: { readonly binary_data_size?: number }
}

/** `blobs`: the bytes behind the JSON. Throws a TypeError, or a RangeError, where these are no such tensors. */
export function readV2(listed: unknown, blobs: Uint8Array): LoggedTensors {
  if (!Array.isArray(listed)) throw new TypeError('the body has no tensors')
  let at = 0
  return new Map(
    (listed as readonly V2Tensor[]).map((tensor): [string, LoggedTensor] => {
      const size = tensor.parameters?.binary_data_size
      if (size === undefined) return [tensor.name, fromJson(tensor)]
      at += size
      if (at > blobs.length) throw new TypeError('the binary data are shorter than they say')
      return [tensor.name, fromBlob(tensor, blobs.subarray(at - size, at))]
    }),
  )
}

function fromJson({ datatype, shape, data }: V2Tensor): LoggedTensor {
  const values = [data].flat(Number.POSITIVE_INFINITY) as Scalar[]
  if (values.length !== elements(shape)) throw new TypeError('the values do not fill the shape')
  return tensorOf(typeOf(datatype), shape, values)
}

/** A tensor of these values; throws as the above. */
export function fromBlob(
  { datatype, shape }: Pick<V2Tensor, 'datatype' | 'shape'>,
  blob: Uint8Array,
): LoggedTensor {
  const type = typeOf(datatype)
  return { type, shape, content: type === 'STRING' ? texts(blob, elements(shape)) : blob }
}

/** Elements of BYTES, each behind its length. */
function texts(blob: Uint8Array, count: number): readonly Uint8Array[] {
  const view = new DataView(blob.buffer, blob.byteOffset, blob.length)
  let at = 0
  return Array.from({ length: count }, () => {
    const from = at + 4
    at = from + view.getUint32(at, true)
    return blob.subarray(from, at)
  })
}

function typeOf(datatype: string): DataType {
  const type = TYPES.get(datatype)
  if (type === undefined) throw new TypeError(`no such datatype: ${datatype}`)
  return type
}
