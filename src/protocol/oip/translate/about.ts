/** The answers about health and metadata, as messages and as JSON. */
import { BYTES, MalformedProtobuf, type MessageReader, VARINT } from '../../protobuf/reader.ts'
import { MessageWriter, varintOf } from '../../protobuf/writer.ts'

/** How a field is written: a boolean, a string, strings, numbers, or messages of another kind. */
type FieldKind = 'flag' | 'text' | 'texts' | 'sizes' | AnswerFields

/** The fields of a message by number: name and kind. */
export type AnswerFields = { readonly [number: number]: readonly [name: string, kind: FieldKind] }

const TENSOR: AnswerFields = { 1: ['name', 'text'], 2: ['datatype', 'text'], 3: ['shape', 'sizes'] }

export const LIVE: AnswerFields = { 1: ['live', 'flag'] }
export const READY: AnswerFields = { 1: ['ready', 'flag'] }
export const SERVER: AnswerFields = {
  ...{ 1: ['name', 'text'], 2: ['version', 'text'], 3: ['extensions', 'texts'] },
}
export const MODEL: AnswerFields = {
  ...{ 1: ['name', 'text'], 2: ['versions', 'texts'], 3: ['platform', 'text'] },
  ...{ 4: ['inputs', TENSOR], 5: ['outputs', TENSOR] },
}

/** What JSON says as a message; members that the message has no field for, or that have another type, are left out. */
export function messageOfJson(json: unknown, fields: AnswerFields): MessageWriter {
  const message = new MessageWriter()
  const members = typeof json === 'object' && json !== null ? (json as Readonly<Record<string, unknown>>) : {}
  for (const [number, [name, kind]] of Object.entries(fields))
    put(message, Number(number), members[name], kind)
  return message
}

function put(message: MessageWriter, field: number, value: unknown, kind: FieldKind): void {
  const list: readonly unknown[] = Array.isArray(value) ? value : []
  if (kind === 'flag') {
    if (value === true) message.varint(field, 1)
  } else if (kind === 'text') {
    if (typeof value === 'string') message.text(field, value)
  } else if (kind === 'texts') {
    for (const text of list) message.text(field, String(text))
  } else if (kind === 'sizes') {
    const sizes = list.filter(Number.isSafeInteger) as number[]
    if (sizes.length > 0) message.bytes(field, Buffer.from(sizes.flatMap(varintOf)))
  } else for (const member of list) message.message(field, messageOfJson(member, kind))
}

/** What a message says as JSON, with every member; throws `MalformedProtobuf`. */
export function jsonOfMessage(reader: MessageReader, fields: AnswerFields): Record<string, unknown> {
  const members: Record<string, unknown> = {}
  for (const [name, kind] of Object.values(fields))
    members[name] = kind === 'flag' ? false : kind === 'text' ? '' : []
  while (reader.next()) {
    const [name, kind] = fields[reader.field] ?? []
    if (name !== undefined && kind !== undefined) members[name] = taken(reader, kind, members[name])
  }
  return members
}

function taken(reader: MessageReader, kind: FieldKind, before: unknown): unknown {
  if (kind === 'flag') return reader.wire === VARINT && reader.isTrue
  if (kind === 'text') return textOf(reader)
  const list = before as unknown[]
  if (kind === 'texts') list.push(textOf(reader))
  else if (kind !== 'sizes') {
    if (reader.wire !== BYTES) throw new MalformedProtobuf('a message has another type')
    list.push(jsonOfMessage(reader.message(), kind))
  } else if (reader.wire === VARINT) list.push(Number(reader.int64))
  else {
    const numbers = reader.message()
    while (numbers.number()) list.push(Number(numbers.int64))
  }
  return list
}

function textOf(reader: MessageReader): string {
  return Buffer.from(reader.utf8()).toString('utf8')
}
