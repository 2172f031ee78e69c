/**
 * Parameters (`map<string, InferParameter>`), read and written. A value that JSON can say has the digest and the text of its
 * JSON; the others (numbers of 64 bits without a sign, and doubles, which servers tell from integers) have a mark of their own.
 */
import { type Digest, digestOf } from '../../../core/key.ts'
import { Preimage } from '../../preimage.ts'
import { BYTES, FIXED64, MalformedProtobuf, type MessageReader, VARINT } from '../../protobuf/reader.ts'
import { MessageWriter } from '../../protobuf/writer.ts'
import type { FieldBudget } from './fields.ts'

/** A parameter's value: the one that was written last. */
export type ParameterValue = boolean | bigint | string | Double | Unsigned | undefined

export class Double {
  readonly value: number
  constructor(value: number) {
    this.value = value
  }
}

export class Unsigned {
  readonly value: bigint
  constructor(value: bigint) {
    this.value = value
  }
}

export interface Parameter {
  readonly value: ParameterValue
  /** Fields that are unknown here, as written, one behind the other; mostly empty. */
  readonly unknown: Uint8Array
}

/** Parameters by name, the last of each name. */
export type Parameters = Map<string, Parameter>

const KEY = 1
const VALUE = 2

/** Reads an entry of the map. */
export function readParameter(entry: MessageReader, into: Parameters, budget: FieldBudget): void {
  let name = ''
  let value: ParameterValue
  const unknown: Uint8Array[] = []
  while (entry.next()) {
    budget.take()
    if (entry.field === KEY) name = textOf(entry)
    else if (entry.field === VALUE) {
      if (entry.wire !== BYTES) throw new MalformedProtobuf('a parameter has another type')
      const reader = entry.message()
      // A message that comes twice is merged: of a choice the last counts.
      while (reader.next()) {
        budget.take()
        if (reader.field > 5) unknown.push(reader.whole())
        else value = valueOf(reader)
      }
    } else unknown.push(entry.whole())
  }
  into.set(name, { value, unknown: unknown.length === 0 ? NOTHING : Buffer.concat(unknown) })
}

const NOTHING = new Uint8Array(0)

function textOf(reader: MessageReader): string {
  return Buffer.from(reader.utf8()).toString('utf8')
}

const WIRES = [0, VARINT, VARINT, BYTES, FIXED64, VARINT]

function valueOf(reader: MessageReader): ParameterValue {
  if (reader.wire !== WIRES[reader.field]) throw new MalformedProtobuf('a parameter has another type')
  switch (reader.field) {
    case 1:
      return reader.isTrue
    case 2:
      return reader.int64
    case 3:
      return textOf(reader)
    case 4:
      return new Double(doubleOf(reader.low, reader.high))
    default:
      return new Unsigned(reader.uint64)
  }
}

const words = new DataView(new ArrayBuffer(8))

function doubleOf(low: number, high: number): number {
  words.setUint32(0, low, true)
  words.setUint32(4, high, true)
  return words.getFloat64(0, true)
}

/** As the digest of the JSON with the same meaning, if there is one. */
export function parameterDigest({ value, unknown }: Parameter): Digest {
  const digest = valueDigest(value)
  // Canonical JSON has no control characters outside of strings.
  return unknown.length === 0
    ? digest
    : new Preimage().text('\0unknown').latin1(digest).latin1(digestOf(unknown)).digest()
}

function valueDigest(value: ParameterValue): Digest {
  if (value instanceof Double) {
    words.setFloat64(0, value.value, true)
    return digestOf(`\0double ${words.getBigUint64(0, true)}`)
  }
  if (value instanceof Unsigned) return digestOf(`\0uint64 ${value.value}`)
  return digestOf(value === undefined ? '\0nothing' : jsonOf(value))
}

function jsonOf(value: boolean | bigint | string): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}

/** A value as JSON; undefined: JSON cannot say it. A double has a point or an exponent, so that it is read as one again. */
export function parameterText({ value }: Pick<Parameter, 'value'>): string | undefined {
  if (value instanceof Unsigned) return String(value.value)
  if (!(value instanceof Double)) return value === undefined ? undefined : jsonOf(value)
  if (!Number.isFinite(value.value)) return undefined
  const text = Object.is(value.value, -0) ? '-0' : String(value.value)
  return /[.e]/.test(text) ? text : `${text}.0`
}

/** Whether the JSON of a value is read as the same value again. */
export function isPlain({ value, unknown }: Parameter): boolean {
  return unknown.length === 0 && !(value instanceof Unsigned) && parameterText({ value }) !== undefined
}

const MAX_INT64 = 2n ** 63n - 1n
const MIN_INT64 = -(2n ** 63n)
const MAX_UINT64 = 2n ** 64n - 1n

/** The value that JSON spells; undefined: a parameter cannot have it (lists, objects, null, numbers of more than 64 bits). */
export function parameterOfText(json: Uint8Array): ParameterValue {
  const text = Buffer.from(json.buffer, json.byteOffset, json.length).toString('utf8')
  if (text === 'true' || text === 'false') return text === 'true'
  if (text.startsWith('"')) return JSON.parse(text) as string
  if (!/^-?\d/.test(text)) return undefined
  if (/[.eE]/.test(text)) return new Double(Number(text))
  // No number of 64 bits has more digits.
  const integer = text.length <= 20 ? BigInt(text) : undefined
  if (integer === undefined || integer < MIN_INT64 || integer > MAX_UINT64) return undefined
  return integer > MAX_INT64 ? new Unsigned(integer) : integer
}

/** Writes an entry of a map of parameters as field `field`. */
export function writeParameter(
  into: MessageWriter,
  field: number,
  name: string,
  { value, unknown }: Parameter,
): void {
  const message = new MessageWriter()
  if (value instanceof Double) message.double(4, value.value)
  else if (value instanceof Unsigned) message.varint(5, value.value)
  else if (typeof value === 'boolean') message.varint(1, value ? 1 : 0)
  else if (typeof value === 'bigint') message.varint(2, value)
  else if (value !== undefined) message.text(3, value)
  if (unknown.length > 0) message.raw(unknown)
  into.message(field, new MessageWriter().text(KEY, name).message(VALUE, message))
}

/** The canonical spelling of a string in JSON, without its quotes, one latin1 character a byte, as keys are made of it. */
export function canonicalText(utf8: Uint8Array): string {
  for (const byte of utf8) {
    if (byte < 0x20 || byte === 0x22 || byte === 0x5c)
      return Buffer.from(JSON.stringify(Buffer.from(utf8).toString('utf8')).slice(1, -1)).toString('latin1')
  }
  return Buffer.from(utf8.buffer, utf8.byteOffset, utf8.length).toString('latin1')
}

/** The text of a canonical spelling. */
export function plainText(canonical: string): string {
  return JSON.parse(`"${Buffer.from(canonical, 'latin1').toString('utf8')}"`) as string
}
