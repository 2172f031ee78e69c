/**
 * Reads and writes answers of `ModelInfer`. What stands around the values is read as the texts that a JSON answer has for it, so
 * that both compare, and turn into each other; what JSON cannot say is kept as it is written, behind a zero byte.
 */
import type { Reply } from '../../../core/reply.ts'
import { GRPC_TYPE } from '../../grpc/fields.ts'
import { onlyMessage, PREFIX_BYTES, withPrefix } from '../../grpc/message.ts'
import { OK_TRAILERS, statusOf } from '../../grpc/status.ts'
import { Cursor } from '../../json/scan.ts'
import { BYTES, MalformedProtobuf, MessageReader } from '../../protobuf/reader.ts'
import { MessageWriter, putVarint } from '../../protobuf/writer.ts'
import { type AnswerMember, fills, type OipAnswer, type Output } from '../answer.ts'
import { withoutOwnFields } from '../body-fields.ts'
import type { OutputPreferences } from '../request.ts'
import { decodeJson } from '../tensor.ts'
import { blobOfContents, contentsOfBlob } from './contents.ts'
import { FieldBudget, KeptFields } from './fields.ts'
import { CONTENTS, readTensor, SHAPE } from './message.ts'
import {
  isPlain,
  type Parameter,
  parameterOfText,
  parameterText,
  plainText,
  readParameter,
  writeParameter,
} from './parameters.ts'

/** Fields of `ModelInferResponse`. */
const ID = 3
const PARAMETERS = 4
const OUTPUTS = 5
const RAW_OUTPUTS = 6

/** The answer in a reply; undefined: it is no good answer, or one that is not understood. */
export function readGrpcAnswer(reply: Reply, body: Uint8Array): OipAnswer | undefined {
  if (statusOf(reply) !== 'OK') return undefined
  // A compressed answer is not kept, since the next caller may not read its encoding.
  const message = onlyMessage(body, undefined, 0)
  if ('bypass' in message) return undefined
  try {
    return readMessage(message)
  } catch (error) {
    if (error instanceof MalformedProtobuf) return undefined
    throw error
  }
}

function readMessage(message: Uint8Array): OipAnswer | undefined {
  const reader = new MessageReader(message)
  const [model, version] = [{ text: '' }, { text: '' }]
  let id = NOTHING
  const parameters = new ParameterTexts()
  const unknown = new KeptFields(message)
  const budget = new FieldBudget()
  const tensors: ReturnType<typeof readTensor>[] = []
  const raw: Uint8Array[] = []
  while (reader.next()) {
    budget.take()
    switch (reader.field) {
      case 1:
        model.text = textOf(reader)
        break
      case 2:
        version.text = textOf(reader)
        break
      case ID:
        id = Buffer.from(JSON.stringify(textOf(reader)))
        break
      case PARAMETERS:
        parameters.read(reader, budget)
        break
      case OUTPUTS:
        if (reader.wire !== BYTES) return undefined
        tensors.push(readTensor(reader.message(), budget))
        break
      case RAW_OUTPUTS:
        if (reader.wire !== BYTES) return undefined
        raw.push(reader.bytes())
        break
      default:
        unknown.keep(reader)
    }
  }
  const isRaw = raw.length > 0
  if (isRaw && raw.length !== tensors.length) return undefined
  const outputs: Output[] = []
  for (const [i, tensor] of tensors.entries()) {
    const blob = blobOf(tensor, isRaw ? raw[i] : undefined)
    if (!blob) return undefined
    outputs.push(outputOf(tensor, blob))
  }
  if (new Set(outputs.map(({ name }) => name)).size < outputs.length) return undefined
  const members = [
    ...(model.text === '' ? [] : [member('model_name', JSON.stringify(model.text))]),
    ...(version.text === '' ? [] : [member('model_version', JSON.stringify(version.text))]),
    ...parameters.members(),
    ...keptMembers(unknown),
  ]
  return { body: message, members, outputs, ...(id.length > 2 ? { id } : {}), grpc: { isRaw } }
}

const NOTHING: Uint8Array = new Uint8Array(0)

function textOf(reader: MessageReader): string {
  return Buffer.from(reader.utf8()).toString('utf8')
}

function blobOf(tensor: ReturnType<typeof readTensor>, raw: Uint8Array | undefined): Uint8Array | undefined {
  if (tensor.shape.some(Number.isNaN)) return undefined
  if (raw) return tensor.contents.length === 0 && fills(raw, tensor) ? raw : undefined
  const contents = blobOfContents(tensor.contents, tensor)
  return contents?.unknown.length === 0 ? contents.blob : undefined
}

function outputOf(tensor: ReturnType<typeof readTensor>, blob: Uint8Array): Output {
  const { name, datatype, shape } = tensor
  const parameters = new ParameterTexts()
  for (const [key, parameter] of tensor.parameters) parameters.put(key, parameter)
  const members = [
    member('name', jsonText(name)),
    member('shape', `[${shape.join()}]`),
    member('datatype', jsonText(datatype)),
    ...keptMembers(tensor.unknown),
  ]
  return { name, datatype, shape, members, parameters: parameters.texts(), blob }
}

/** A canonical spelling, one latin1 character a byte, as a JSON text. */
function jsonText(canonical: string): string {
  return `"${Buffer.from(canonical, 'latin1').toString('utf8')}"`
}

function member(key: string, value: string): AnswerMember {
  return { key, text: Buffer.from(`"${key}":${value}`), value: Buffer.from(value) }
}

/** Fields that JSON has no text for. */
function kept(field: Uint8Array): AnswerMember {
  return { key: '', text: Buffer.concat([ZERO, field]), value: NOTHING }
}

const ZERO = Uint8Array.of(0)

function keptMembers(fields: KeptFields): AnswerMember[] {
  return fields.isEmpty ? [] : [kept(fields.bytes())]
}

/** Whether a member's text is JSON, and no field of protobuf. */
export function isJson(text: Uint8Array): boolean {
  return text[0] !== 0
}

/** Collects the parameters of an answer, or of an output. */
class ParameterTexts {
  readonly #found = new Map<string, Parameter>()

  read(reader: MessageReader, budget: FieldBudget): void {
    if (reader.wire !== BYTES) throw new MalformedProtobuf('a parameter has another type')
    readParameter(reader.message(), this.#found, budget)
  }

  put(name: string, parameter: Parameter): void {
    this.#found.set(name, parameter)
  }

  texts(): AnswerMember[] {
    return [...this.#found].map(([name, parameter]) => {
      const text = isPlain(parameter) ? parameterText(parameter) : undefined
      if (text !== undefined) return member(JSON.stringify(name).slice(1, -1), text)
      const field = new MessageWriter()
      writeParameter(field, PARAMETERS, name, parameter)
      return kept(field.join())
    })
  }

  /** As members of an answer: one for all that JSON can say. */
  members(): AnswerMember[] {
    const texts = this.texts()
    const plain = texts
      .filter(({ text }) => isJson(text))
      .map(({ text }) => Buffer.from(text).toString('utf8'))
    const others = texts.filter(({ text }) => !isJson(text))
    return plain.length === 0 ? others : [member('parameters', `{${plain.join()}}`), ...others]
  }
}

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
