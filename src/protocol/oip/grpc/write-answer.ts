/** Writes answers of `ModelInfer`, and gives those that are kept to callers of either form. */
import type { Reply } from '../../../core/reply.ts'
import { GRPC_TYPE } from '../../grpc/fields.ts'
import { PREFIX_BYTES, withPrefix } from '../../grpc/message.ts'
import { OK_TRAILERS } from '../../grpc/status.ts'
import { Cursor } from '../../json/scan.ts'
import { MessageReader } from '../../protobuf/reader.ts'
import { MessageWriter, putVarint } from '../../protobuf/writer.ts'
import type { OipAnswer } from '../answer.ts'
import { withoutOwnFields } from '../body-fields.ts'
import type { OutputPreferences } from '../request.ts'
import { decodeJson } from '../tensor.ts'
import { ID, isJson, OUTPUTS, PARAMETERS, RAW_OUTPUTS } from './answer.ts'
import { contentsOfBlob } from './contents.ts'
import { CONTENTS, SHAPE } from './message.ts'
import { parameterOfText, plainText, writeParameter } from './parameters.ts'

/** An output of an answer that is to be written; its texts are those of JSON, or kept fields. */
export interface GrpcOutput {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly members: readonly { readonly text: Uint8Array }[]
  readonly parameters: readonly { readonly text: Uint8Array }[]
  readonly blob: Uint8Array
}

export interface GrpcAnswerParts {
  readonly members: readonly { readonly text: Uint8Array }[]
  readonly outputs: readonly GrpcOutput[]
  /** As a JSON text. */
  readonly id: Uint8Array | undefined
  readonly isRaw: boolean
}

/** Writes an answer from its parts, with the headers of `reply`; undefined: it has a value that gRPC cannot say. */
export function writeGrpcAnswer(
  reply: Pick<Reply, 'headers' | 'trailers'>,
  { members, outputs, id, isRaw }: GrpcAnswerParts,
): Reply | undefined {
  const message = new MessageWriter()
  for (const { text } of members) if (!writeMember(message, text)) return undefined
  if (id) message.text(ID, idOf(id))
  for (const output of outputs) {
    const tensor = writeOutput(output, isRaw)
    if (!tensor) return undefined
    message.message(OUTPUTS, tensor)
  }
  if (isRaw) for (const { blob } of outputs) message.bytes(RAW_OUTPUTS, blob)
  return framedReply(reply, message)
}

function idOf(id: Uint8Array): string {
  return JSON.parse(Buffer.from(id).toString('utf8')) as string
}

function framedReply(
  { headers, trailers }: Pick<Reply, 'headers' | 'trailers'>,
  message: MessageWriter,
): Reply {
  return {
    status: 200,
    headers: ['content-type', GRPC_TYPE, ...withoutOwnFields(headers)],
    body: withPrefix(message.join(PREFIX_BYTES)),
    trailers: trailers ?? (() => OK_TRAILERS),
  }
}

/** Writes a member of the answer. What gRPC has no field for is left out, as the servers do. */
function writeMember(message: MessageWriter, text: Uint8Array): boolean {
  if (!isJson(text)) {
    message.raw(text.subarray(1))
    return true
  }
  const { key, value } = splitMember(text)
  const field = MEMBERS.get(key)
  if (field === undefined || value[0] === LETTER_N) return true
  if (field === PARAMETERS) return writeParameters(message, value)
  // Some servers write the version as a number.
  message.text(field, value[0] === QUOTE ? idOf(value) : Buffer.from(value).toString('latin1'))
  return true
}

const MEMBERS: ReadonlyMap<string, number> = new Map([
  ['model_name', 1],
  ['model_version', 2],
  ['parameters', PARAMETERS],
])
const QUOTE = 0x22
const BACKSLASH = 0x5c
/** Of `null`. */
const LETTER_N = 0x6e

function writeParameters(message: MessageWriter, json: Uint8Array): boolean {
  const cursor = new Cursor(json)
  return cursor.members((key) => {
    const span = cursor.value()
    return span !== undefined && putParameter(message, key, json.subarray(span.start, span.end))
  })
}

/** `key` in its canonical spelling. */
function putParameter(message: MessageWriter, key: string, json: Uint8Array): boolean {
  const value = parameterOfText(json)
  if (value !== undefined) writeParameter(message, PARAMETERS, plainText(key), { value, unknown: NOTHING })
  // Servers of both forms leave out what is nothing.
  return value !== undefined || json[0] === LETTER_N
}

/** A member of JSON: its key, and its value behind the colon. */
function splitMember(text: Uint8Array): { readonly key: string; readonly value: Uint8Array } {
  let end = 1
  while (end < text.length && text[end] !== QUOTE) end += text[end] === BACKSLASH ? 2 : 1
  return { key: Buffer.from(text.subarray(1, end)).toString('latin1'), value: text.subarray(end + 2) }
}

function writeOutput(output: GrpcOutput, isRaw: boolean): MessageWriter | undefined {
  const { name, datatype, shape, members, parameters, blob } = output
  const tensor = new MessageWriter().text(1, plainText(name)).text(2, plainText(datatype))
  writeSizes(tensor, shape)
  for (const { text } of members) if (!isJson(text)) tensor.raw(text.subarray(1))
  for (const { text } of parameters) {
    if (!isJson(text)) tensor.raw(text.subarray(1))
    else {
      const { key, value } = splitMember(text)
      if (!putParameter(tensor, key, value)) return undefined
    }
  }
  if (isRaw) return tensor
  const contents = contentsOfBlob(blob, { datatype, shape })
  if (!contents) return undefined
  return contents.length === 0 ? tensor : tensor.message(CONTENTS, contents)
}

/** Writes a shape, packed. */
export function writeSizes(tensor: MessageWriter, shape: readonly number[]): void {
  if (shape.length === 0) return
  const packed = Buffer.allocUnsafe(shape.length * 10)
  let at = 0
  for (const size of shape) at = putVarint(packed, at, size, Math.floor(size / 2 ** 32))
  tensor.bytes(SHAPE, packed.subarray(0, at))
}

/**
 * The reply in this caller's form, raw or typed, with its id; undefined if it cannot be written so. `isServerForm`: the server
 * answers this caller's form in the one that the reply has.
 */
export function grpcAddressed(
  reply: Reply,
  answer: OipAnswer,
  { id, binary }: OutputPreferences,
  isServerForm: boolean,
): Reply | undefined {
  const isRaw = isServerForm && answer.grpc ? answer.grpc.isRaw : binary
  if (answer.grpc?.isRaw === isRaw) {
    const hasId = id && answer.id ? Buffer.compare(id, answer.id) === 0 : id === answer.id
    return hasId ? reply : framedReply(reply, withId(answer.body, id))
  }
  const outputs: GrpcOutput[] = []
  for (const output of answer.outputs) {
    const blob = output.blob ?? (output.data && decodeJson(answer.body, output.data, output)?.values)
    if (!blob) return undefined
    outputs.push({ ...output, blob })
  }
  const { headers, trailers } = reply
  const from = answer.grpc && trailers ? { headers, trailers } : { headers }
  return writeGrpcAnswer(from, { members: answer.members, outputs, id, isRaw })
}

/** The message with another id, or none; all else as it is. */
function withId(message: Uint8Array, id: Uint8Array | undefined): MessageWriter {
  const changed = new MessageWriter()
  if (id) changed.text(ID, idOf(id))
  const reader = new MessageReader(message)
  let from = 0
  for (let at = 0; reader.next(); at = reader.at) {
    if (reader.field !== ID) continue
    if (at > from) changed.raw(message.subarray(from, at))
    from = reader.at
  }
  return changed.raw(message.subarray(from))
}

const NOTHING = new Uint8Array(0)
