/**
 * Reads answers of `ModelInfer`. What stands around the values is read as the texts that a JSON answer has for it, so
 * that both compare, and turn into each other; what JSON cannot say is kept as it is written, behind a zero byte.
 */
import type { Reply } from '../../../core/reply.ts'
import { onlyMessage } from '../../grpc/message.ts'
import { statusOf } from '../../grpc/status.ts'
import { BYTES, MalformedProtobuf, MessageReader } from '../../protobuf/reader.ts'
import { MessageWriter } from '../../protobuf/writer.ts'
import { type AnswerMember, fills, type OipAnswer, type Output } from '../answer.ts'
import { blobOfContents } from './contents.ts'
import { FieldBudget, KeptFields } from './fields.ts'
import { readTensor, type TensorMessage } from './message.ts'
import { isPlain, type Parameter, parameterText, readParameter, writeParameter } from './parameters.ts'

/** Fields of `ModelInferResponse`. */
export const ID = 3
export const PARAMETERS = 4
export const OUTPUTS = 5
export const RAW_OUTPUTS = 6

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
  const tensors: TensorMessage[] = []
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

function blobOf(tensor: TensorMessage, raw: Uint8Array | undefined): Uint8Array | undefined {
  if (tensor.shape.some(Number.isNaN)) return undefined
  if (raw) return tensor.contents.length === 0 && fills(raw, tensor) ? raw : undefined
  const contents = blobOfContents(tensor.contents, tensor)
  return contents?.unknown.length === 0 ? contents.blob : undefined
}

function outputOf(tensor: TensorMessage, blob: Uint8Array): Output {
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
