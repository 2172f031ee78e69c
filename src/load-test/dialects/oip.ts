/** Questions of the Open Inference Protocol: JSON, JSON with binary tensors, and ModelInferRequest over gRPC. */
import { PREFIX_BYTES, withPrefix } from '../../protocol/grpc/message.ts'
import { MessageWriter, varintOf } from '../../protocol/protobuf/writer.ts'
import type { RowInput } from './input.ts'
import { tensorBytes, valuesOf } from './tensor.ts'

const shapeOf = (rows: readonly number[], { shape }: RowInput): number[] => [rows.length, ...shape]

export function oipJson(rows: readonly number[], inputs: readonly RowInput[]): Buffer {
  const tensors = inputs.map((input) => ({
    name: input.name,
    shape: shapeOf(rows, input),
    datatype: input.datatype,
    data: rows.flatMap((row) => valuesOf(row, input)),
  }))
  return Buffer.from(JSON.stringify({ inputs: tensors }))
}

export interface BinaryBody {
  readonly body: Buffer
  /** The length of the JSON before the tensors, for `Inference-Header-Content-Length`. */
  readonly headerBytes: number
}

/** JSON, and behind it the tensors as bytes; the outputs are asked for in the same form. */
export function oipBinary(rows: readonly number[], inputs: readonly RowInput[]): BinaryBody {
  const blobs = inputs.map((input) => tensorBytes(rows, input))
  const tensors = inputs.map((input, i) => ({
    name: input.name,
    shape: shapeOf(rows, input),
    datatype: input.datatype,
    parameters: { binary_data_size: blobs[i]?.length },
  }))
  const json = JSON.stringify({ inputs: tensors, parameters: { binary_data_output: true } })
  const header = Buffer.from(json)
  return { body: Buffer.concat([header, ...blobs]), headerBytes: header.length }
}

/** inference.ModelInferRequest with raw contents, framed. */
export function oipMessage(model: string, rows: readonly number[], inputs: readonly RowInput[]): Buffer {
  const message = new MessageWriter().text(1, model)
  for (const input of inputs) {
    const shape = Buffer.from(shapeOf(rows, input).flatMap((size) => varintOf(size)))
    message.message(5, new MessageWriter().text(1, input.name).text(2, input.datatype).bytes(3, shape))
  }
  for (const input of inputs) message.bytes(7, tensorBytes(rows, input))
  return withPrefix(message.join(PREFIX_BYTES))
}
