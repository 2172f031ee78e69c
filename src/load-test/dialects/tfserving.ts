/** Questions of TensorFlow Serving's protocol: JSON with rows, and PredictRequest over gRPC. */
import { PREFIX_BYTES, withPrefix } from '../../protocol/grpc/message.ts'
import { MessageWriter } from '../../protocol/protobuf/writer.ts'
import { elementsOfRow, type RowInput } from './input.ts'
import { nested, tensorBytes, valuesOf } from './tensor.ts'

/** `{"instances": [...]}`: a row is the value of the only input, or an object of all of them. */
export function tfservingJson(rows: readonly number[], inputs: readonly RowInput[]): Buffer {
  const value = (row: number, input: RowInput) => {
    const values = valuesOf(row, input)
    return elementsOfRow(input) === 1 && input.shape.length <= 1 ? values : nested(values, input.shape)
  }
  const instances = rows.map((row) =>
    inputs.length === 1
      ? value(row, inputs[0] as RowInput)
      : Object.fromEntries(inputs.map((input) => [input.name, value(row, input)])),
  )
  return Buffer.from(JSON.stringify({ instances }))
}

/** tensorflow.serving.PredictRequest, framed. */
export function tfservingMessage(
  model: string,
  rows: readonly number[],
  inputs: readonly RowInput[],
): Buffer {
  const message = new MessageWriter().message(1, new MessageWriter().text(1, model))
  for (const input of inputs)
    message.message(2, new MessageWriter().text(1, input.name).message(2, tensorProto(rows, input)))
  return withPrefix(message.join(PREFIX_BYTES))
}

/** `DataType` of tensorflow/core/framework/types.proto. */
export const DT: Readonly<Record<string, number>> = {
  FP32: 1,
  FP64: 2,
  INT32: 3,
  UINT8: 4,
  INT16: 5,
  INT8: 6,
  BYTES: 7,
  INT64: 9,
  BOOL: 10,
  BF16: 14,
  UINT16: 17,
  FP16: 19,
  UINT32: 22,
  UINT64: 23,
}

function tensorProto(rows: readonly number[], input: RowInput): MessageWriter {
  const shape = new MessageWriter()
  for (const size of [rows.length, ...input.shape]) shape.message(2, new MessageWriter().varint(1, size))
  const tensor = new MessageWriter().varint(1, DT[input.datatype] ?? 1).message(2, shape)
  if (input.datatype !== 'BYTES') return tensor.bytes(4, tensorBytes(rows, input))
  for (const text of rows.flatMap((row) => valuesOf(row, input))) tensor.text(8, String(text))
  return tensor
}
