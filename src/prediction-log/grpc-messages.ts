/**
 * What calls over gRPC have for a `PredictionLog`: of TensorFlow Serving their two messages as they are, of the Open Inference
 * protocol their tensors.
 */
import { header, type RawPairs } from '../core/call.ts'
import type { Prediction } from '../core/prediction.ts'
import { GRPC_TYPE } from '../protocol/grpc/fields.ts'
import { onlyMessage } from '../protocol/grpc/message.ts'
import { OK_TRAILERS } from '../protocol/grpc/status.ts'
import { readGrpcAnswer } from '../protocol/oip/grpc/answer.ts'
import { blobOfContents } from '../protocol/oip/grpc/contents.ts'
import { readInferMessage, type TensorMessage } from '../protocol/oip/grpc/message.ts'
import { plainText } from '../protocol/oip/grpc/parameters.ts'
import { oip } from '../protocol/oip/oip.ts'
import { BYTES, MessageReader } from '../protocol/protobuf/reader.ts'
import { MessageWriter } from '../protocol/protobuf/writer.ts'
import { encodeSpec, type ModelSpec } from './proto.ts'
import type { LoggedTensor, LoggedTensors } from './tensor.ts'
import { fromBlob } from './v2-tensors.ts'

const GRPC: RawPairs = ['content-type', GRPC_TYPE]
/** Longer messages are none that is logged. */
const MAX_MESSAGE_BYTES = 64 << 20

/** Where a `PredictionLog` has request and response of each method (tensorflow_serving/apis/prediction_log.proto). */
const LOG_FIELDS: ReadonlyMap<string, number> = new Map([
  ['classify', 2],
  ['regress', 3],
  ['multi-inference', 4],
  ['predict', 6],
])

/** Of a call of TensorFlow Serving. `model`: of the log, where the answer states none. Undefined: it is no such call. */
export function servingLog(
  { head, request, answer }: Prediction,
  { model, seconds }: { readonly model: ModelSpec; readonly seconds: number },
): Uint8Array | undefined {
  const field = LOG_FIELDS.get(head.verb)
  if (field === undefined) return undefined
  const asked = messageOf(request, head.headers)
  const given = messageOf(answer, head.answerHeaders)
  const stated = head.verb === 'multi-inference' ? undefined : specIn(given)
  const metadata = new MessageWriter().bytes(1, stated ?? encodeSpec(model)).varint(4, seconds)
  const log = new MessageWriter().bytes(1, asked).bytes(2, given)
  return new MessageWriter().message(1, metadata).message(field, log).join()
}

/** The ModelSpec that an answer has beside its results. */
function specIn(answer: Uint8Array): Uint8Array | undefined {
  const reader = new MessageReader(answer)
  while (reader.next()) if (reader.field === 2 && reader.wire === BYTES) return reader.bytes()
  return undefined
}

/** Of a `ModelInfer`. Throws a TypeError, a RangeError or `MalformedProtobuf` where it has no tensors, as the next. */
export function inputsOf({ head, request }: Prediction): LoggedTensors {
  const { inputs, raw } = readInferMessage(messageOf(request, head.headers))
  return new Map(
    inputs.map((tensor, i) => {
      const blob = raw.length > 0 ? raw[i] : blobOfContents(tensor.contents, tensor)?.blob
      return named(tensor, blob)
    }),
  )
}

/** The outputs, and the version that the answer states. */
export function outputsOf({ answer }: Prediction): { version: string | undefined; outputs: LoggedTensors } {
  const reply = { status: 200, headers: GRPC, body: answer, trailers: () => OK_TRAILERS }
  const read = readGrpcAnswer(reply, answer)
  if (!read) throw new TypeError('the answer has no tensors')
  return {
    version: oip.version?.(reply, answer),
    outputs: new Map(read.outputs.map((output) => named(output, output.blob))),
  }
}

function named(
  tensor: Pick<TensorMessage, 'name' | 'datatype' | 'shape'>,
  blob: Uint8Array | undefined,
): [string, LoggedTensor] {
  const name = plainText(tensor.name)
  if (!blob) throw new TypeError(`the tensor ${name} has no values of its datatype`)
  return [name, fromBlob(tensor, blob)]
}

/** Throws a TypeError where the body is not one message. */
function messageOf(body: Uint8Array, headers: RawPairs): Uint8Array {
  const message = onlyMessage(body, header(headers, 'grpc-encoding'), MAX_MESSAGE_BYTES)
  if ('bypass' in message) throw new TypeError('the body is not one message')
  return message
}
