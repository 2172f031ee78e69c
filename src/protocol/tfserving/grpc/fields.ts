/** What the messages of TensorFlow Serving have in common: texts, and fields that are in a key as they are written. */
import { isUtf8 } from 'node:buffer'
import { BYTES, MalformedProtobuf } from '../../protobuf/reader.ts'
import { type FieldReader, type MessageSource, TooManyFields } from '../../protobuf/source.ts'

/** More fields, or longer ones, than a message of these has by itself. */
const MAX_FIELDS = 1024
const MAX_BYTES = 1 << 20

/** The reason why a call must not be cached. */
export class BypassReason extends Error {
  readonly reason: string
  constructor(reason: string) {
    super(reason)
    this.name = 'BypassReason'
    this.reason = reason
  }
}

/** Why a call must not be cached, as thrown while its message was read; undefined: another error. */
export function bypassOf(error: unknown): string | undefined {
  if (error instanceof BypassReason) return error.reason
  if (error instanceof MalformedProtobuf) return 'unparsable'
  return error instanceof TooManyFields ? 'many-fields' : undefined
}

/** The bytes of a string, message or `bytes`; a field of another wire type is one that parsers do not agree about. */
export function needBytes<R extends FieldReader>(fields: R): R {
  if (fields.wire !== BYTES) throw new BypassReason('wire-type')
  return fields
}

/** A number or `bool`. */
export function needWire<R extends FieldReader>(fields: R, wire: number): R {
  if (fields.wire !== wire) throw new BypassReason('wire-type')
  return fields
}

export function textOf(fields: FieldReader): string {
  const bytes = needBytes(fields)
  if (bytes.end - bytes.start > MAX_BYTES) throw new BypassReason('long-field')
  const text = fields.bytes()
  if (!isUtf8(text)) throw new BypassReason('invalid-utf8')
  return Buffer.from(text.buffer, text.byteOffset, text.length).toString('utf8')
}

/**
 * Fields that nobody here understands. They may mean anything, so they are in the key; in the order of their numbers, since
 * fields of unlike numbers have no order.
 */
export class OtherFields {
  readonly #fields: { readonly field: number; readonly bytes: Uint8Array }[] = []
  #length = 0

  /** The field that was read last, which begins at `from`. */
  add(source: Pick<MessageSource, 'slice'>, { field, at }: FieldReader, from: number): void {
    if (at - from > MAX_BYTES - this.#length) throw new BypassReason('long-field')
    this.put(field, source.slice(from, at))
  }

  /** A field as it is written, its tag included. */
  put(field: number, bytes: Uint8Array): void {
    if (this.#fields.length === MAX_FIELDS) throw new BypassReason('many-fields')
    this.#length += bytes.length
    this.#fields.push({ field, bytes })
  }

  /** All of them, as fields of a message. */
  join(): Uint8Array {
    if (this.#fields.length === 0) return NOTHING
    this.#fields.sort((a, b) => a.field - b.field)
    return Buffer.concat(this.#fields.map(({ bytes }) => bytes))
  }
}

export const NOTHING: Uint8Array = new Uint8Array(0)

/** Throws if a field that may be there once was there before: some parsers join the two, others take the last. */
export function once(isKnown: boolean): void {
  if (isKnown) throw new BypassReason('duplicate-field')
}
