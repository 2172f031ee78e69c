/**
 * The format `tfrecord`: TensorFlow's record files, each record a `PredictionLog` of TensorFlow Serving. What has no tensors in
 * both request and answer (over HTTP, other verbs than predict and infer; encoded bodies; `NaN` in JSON) it cannot say.
 */
import { header } from '../core/call.ts'
import type { Prediction, PredictionHead } from '../core/prediction.ts'
import { crc32c } from '../lib/crc32c.ts'
import { isGrpc } from '../protocol/grpc/fields.ts'
import { MalformedProtobuf } from '../protocol/protobuf/reader.ts'
import type { Encoder } from './encoder.ts'
import { inputsOf, outputsOf, servingLog } from './grpc-messages.ts'
import { parseJson } from './json-values.ts'
import { encodePredictionLog, type LoggedPrediction, type ModelSpec } from './proto.ts'
import { readV1 } from './v1-tensors.ts'
import { readV2 } from './v2-tensors.ts'

export const tfrecord: Encoder = {
  encode(prediction) {
    const logged = readPrediction(prediction)
    return logged && frame(logged instanceof Uint8Array ? logged : encodePredictionLog(logged))
  },
  wholeBytes,
}

/** The record, or what it is made of. */
function readPrediction(prediction: Prediction): LoggedPrediction | Uint8Array | undefined {
  const { head, request, answer } = prediction
  if (isEncoded(head)) return undefined
  try {
    if (isGrpc(head.headers)) return ofGrpc(prediction)
    if (head.verb === 'predict') return ofV1(head, text(request), text(answer))
    if (head.verb === 'infer') return ofV2(head, request, answer)
    return undefined
  } catch (error) {
    // What cannot be read as tensors is counted by the caller; anything else is a bug and must be seen.
    if (UNREADABLE.some((known) => error instanceof known)) return undefined
    throw error
  }
}

const UNREADABLE = [SyntaxError, TypeError, RangeError, MalformedProtobuf]

function ofGrpc(prediction: Prediction): LoggedPrediction | Uint8Array | undefined {
  const { head } = prediction
  const [model, seconds] = [specOf(head), secondsOf(head)]
  if (head.protocol === 'tfserving') return servingLog(prediction, { model, seconds })
  if (head.verb !== 'infer') return undefined
  const { version, outputs } = outputsOf(prediction)
  const answeredBy = { ...model, version: versionOf(version) ?? model.version }
  return { model, answeredBy, inputs: inputsOf(prediction), outputs, seconds }
}

function isEncoded({ headers, answerHeaders }: PredictionHead): boolean {
  return [headers, answerHeaders].some(
    (fields) => (header(fields, 'content-encoding') ?? 'identity').toLowerCase() !== 'identity',
  )
}

function ofV1(head: PredictionHead, request: string, answer: string): LoggedPrediction {
  const asked = parseJson(request)
  const signature = (asked as { readonly signature_name?: unknown }).signature_name
  const model = { ...specOf(head), signatureName: typeof signature === 'string' ? signature : undefined }
  return {
    model,
    answeredBy: model,
    inputs: readV1(asked, { rows: 'instances', columns: 'inputs' }),
    outputs: readV1(parseJson(answer), { rows: 'predictions', columns: 'outputs' }),
    seconds: secondsOf(head),
  }
}

interface V2Body {
  readonly model_version?: unknown
  readonly inputs?: unknown
  readonly outputs?: unknown
}

function ofV2(head: PredictionHead, request: Uint8Array, answer: Uint8Array): LoggedPrediction {
  const asked = splitV2(request, header(head.headers, 'inference-header-content-length'))
  const given = splitV2(answer, header(head.answerHeaders, 'inference-header-content-length'))
  const model = specOf(head)
  return {
    model,
    answeredBy: { ...model, version: versionOf(String(given.json.model_version)) ?? model.version },
    inputs: readV2(asked.json.inputs, asked.blobs),
    outputs: readV2(given.json.outputs, given.blobs),
    seconds: secondsOf(head),
  }
}

function splitV2(body: Uint8Array, jsonLength: string | undefined) {
  const end = jsonLength === undefined ? body.length : Number(jsonLength)
  return { json: parseJson(text(body.subarray(0, end))) as V2Body, blobs: body.subarray(end) }
}

function specOf({ model = '', version }: PredictionHead): ModelSpec {
  const versionLabel = version?.startsWith(LABEL) ? version.slice(LABEL.length) : undefined
  return { name: model, version: versionOf(version), versionLabel }
}

const LABEL = 'labels/'

function versionOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function secondsOf({ time }: PredictionHead): number {
  return Math.floor(Date.parse(time) / 1000)
}

function text(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
}

/** Bytes before a record: its length in eight, and their checksum. */
const PREFIX_BYTES = 12
const CHECKSUM_BYTES = 4
/** Longer records than any that is logged are damage. */
const MAX_RECORD_BYTES = 256 << 20

function frame(record: Uint8Array): Uint8Array {
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + record.length + CHECKSUM_BYTES)
  framed.writeBigUInt64LE(BigInt(record.length), 0)
  framed.writeUInt32LE(masked(framed.subarray(0, 8)), 8)
  framed.set(record, PREFIX_BYTES)
  framed.writeUInt32LE(masked(record), PREFIX_BYTES + record.length)
  return framed
}

/** TensorFlow masks checksums, since one of bytes that have checksums in them is weak. */
function masked(bytes: Uint8Array): number {
  const crc = crc32c(bytes)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

async function wholeBytes(file: AsyncIterable<Uint8Array>): Promise<number> {
  let whole = 0
  let rest = Buffer.alloc(0)
  for await (const piece of file) {
    rest = rest.length === 0 ? Buffer.from(piece) : Buffer.concat([rest, piece])
    for (;;) {
      const length = recordBytes(rest)
      if (length === undefined) return whole
      if (length > rest.length) break
      whole += length
      rest = rest.subarray(length)
    }
  }
  return whole
}

/** The length of the first record with its frame; more than there is where it is cut off; undefined where it is damaged. */
function recordBytes(bytes: Buffer): number | undefined {
  if (bytes.length < PREFIX_BYTES) return Number.POSITIVE_INFINITY
  const size = Number(bytes.readBigUInt64LE(0))
  if (bytes.readUInt32LE(8) !== masked(bytes.subarray(0, 8)) || size > MAX_RECORD_BYTES) return undefined
  const end = PREFIX_BYTES + size
  if (bytes.length < end + CHECKSUM_BYTES) return Number.POSITIVE_INFINITY
  return bytes.readUInt32LE(end) === masked(bytes.subarray(PREFIX_BYTES, end))
    ? end + CHECKSUM_BYTES
    : undefined
}
