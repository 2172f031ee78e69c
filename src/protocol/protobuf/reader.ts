/**
 * Reads the fields of one protobuf message in place, in the order of the wire (protobuf.dev, "Encoding"). It builds no
 * objects: what it read last is in its own members, valid until the next `next`. So finding a field costs a few comparisons,
 * whatever the message holds besides.
 */
import { isUtf8 } from 'node:buffer'

/** Wire types. A group (deprecated, but still legal) is read as one value: all between its two tags. */
export const VARINT = 0
export const FIXED64 = 1
export const BYTES = 2
export const GROUP = 3
const GROUP_END = 4
export const FIXED32 = 5

/** Parsers of others stop at a depth of 100, too. */
const MAX_GROUP_DEPTH = 100

/** The bytes are no protobuf message. */
export class MalformedProtobuf extends Error {
  constructor(reason: string) {
    super(`no protobuf message: ${reason}`)
    this.name = 'MalformedProtobuf'
  }
}

export class MessageReader {
  readonly source: Uint8Array
  /** The number of the field. */
  field = 0
  /** How its value is written: `VARINT`, `FIXED64`, `BYTES`, `GROUP` or `FIXED32`. */
  wire = VARINT
  /** The bytes of the value in `source`; the length of a `BYTES` value is not among them. */
  start = 0
  end = 0
  /** The value of a varint or of a fixed field as an unsigned number of 64 bits, in two halves. */
  low = 0
  high = 0
  /** Where the field begins, its tag included. */
  begin = 0
  #at: number
  readonly #stop: number

  /** Reads `source` from `start` to `end`; throws `MalformedProtobuf`, here and in `next`. */
  constructor(source: Uint8Array, start = 0, end = source.length) {
    this.source = source
    this.#at = start
    this.#stop = end
  }

  /** Reads the next field; false at the end of the message. */
  next(): boolean {
    if (this.#at >= this.#stop) return false
    this.begin = this.#at
    this.#tag()
    if (this.wire === GROUP_END) throw new MalformedProtobuf('a group ends that has not begun')
    this.#value(0)
    return true
  }

  /** Where the next field begins, which is behind the one that was read last. */
  get at(): number {
    return this.#at
  }

  /** Reads the next number, if this reads a packed list of varints and not a message; false at its end. */
  number(): boolean {
    if (this.#at >= this.#stop) return false
    this.#varint()
    return true
  }

  /** The whole field as it is written, with its tag; a view of the source. */
  whole(): Uint8Array {
    return this.source.subarray(this.begin, this.#at)
  }

  /**
   * Reads the next field as `next` does, but a `BYTES` value may reach beyond the message: of a message that is not in one
   * piece, a few bytes are enough to learn where its next value lies.
   */
  open(): void {
    this.begin = this.#at
    this.#tag()
    if (this.wire === GROUP_END) throw new MalformedProtobuf('a group ends that has not begun')
    if (this.wire !== BYTES) return this.#value(0)
    this.start = this.#length()
    this.end = this.start + this.low
  }

  /** The value of a `BYTES` field, a view of the source. */
  bytes(): Uint8Array {
    return this.source.subarray(this.start, this.end)
  }

  /** The value of a `string` field, a view of the source; throws where it is none. */
  utf8(): Uint8Array {
    const text = this.bytes()
    if (this.wire !== BYTES || !isUtf8(text)) throw new MalformedProtobuf('a string is not UTF-8')
    return text
  }

  /** A reader of the message that is the value of this field. */
  message(): MessageReader {
    return new MessageReader(this.source, this.start, this.end)
  }

  /** The value as `bool`, as which any number but 0 is true. */
  get isTrue(): boolean {
    return this.low !== 0 || this.high !== 0
  }

  /** The value as `int32` or an enum: the lower half of what may be written in ten bytes. */
  get int32(): number {
    return this.low | 0
  }

  /** The value as `int64`. */
  get int64(): bigint {
    return (BigInt(this.high | 0) << 32n) | BigInt(this.low)
  }

  /** The value as `uint64`. */
  get uint64(): bigint {
    return (BigInt(this.high) << 32n) | BigInt(this.low)
  }

  /** The value as `int64` where a number holds it exactly, otherwise undefined. */
  get safeInt64(): number | undefined {
    const value = (this.high | 0) * 2 ** 32 + this.low
    return Number.isSafeInteger(value) ? value : undefined
  }

  #tag(): void {
    this.#varint()
    // A field number has 29 bits.
    if (this.high !== 0) throw new MalformedProtobuf('a field number is too large')
    this.field = this.low >>> 3
    this.wire = this.low & 7
    if (this.field === 0) throw new MalformedProtobuf('a field has the number 0')
  }

  #value(depth: number): void {
    this.start = this.#at
    switch (this.wire) {
      case VARINT:
        this.#varint()
        break
      case FIXED32:
        this.#skip(4)
        this.low = this.#fixed32(this.start)
        this.high = 0
        break
      case FIXED64:
        this.#skip(8)
        this.low = this.#fixed32(this.start)
        this.high = this.#fixed32(this.start + 4)
        break
      case BYTES:
        this.start = this.#length()
        this.#skip(this.low)
        break
      case GROUP:
        return this.#group(depth + 1)
      default:
        throw new MalformedProtobuf(`wire type ${this.wire} is unknown`)
    }
    this.end = this.#at
  }

  /** Reads the length of a `BYTES` value into `low`, and returns where the value begins. */
  #length(): number {
    this.#varint()
    if (this.high !== 0) throw new MalformedProtobuf('a value is longer than its message')
    return this.#at
  }

  /** Reads to the end of a group; then `field` is the group's again. */
  #group(depth: number): void {
    if (depth > MAX_GROUP_DEPTH) throw new MalformedProtobuf('groups are nested too deeply')
    const group = this.field
    const start = this.#at
    for (;;) {
      if (this.#at >= this.#stop) throw new MalformedProtobuf('a group does not end')
      const end = this.#at
      this.#tag()
      if (this.wire === GROUP_END) {
        if (this.field !== group) throw new MalformedProtobuf('a group ends that has not begun')
        this.wire = GROUP
        this.start = start
        this.end = end
        return
      }
      this.#value(depth)
    }
  }

  #skip(length: number): void {
    if (length > this.#stop - this.#at) throw new MalformedProtobuf('a value is longer than its message')
    this.#at += length
  }

  #fixed32(at: number): number {
    const { source } = this
    return (
      ((source[at] as number) |
        ((source[at + 1] as number) << 8) |
        ((source[at + 2] as number) << 16) |
        ((source[at + 3] as number) << 24)) >>>
      0
    )
  }

  /** Reads a varint of up to ten bytes into `low` and `high`. */
  #varint(): void {
    const { source } = this
    let byte = this.#byte(source)
    let low = byte & 0x7f
    let high = 0
    for (let shift = 7; byte > 0x7f; shift += 7) {
      if (shift > 63) throw new MalformedProtobuf('a number is longer than ten bytes')
      byte = this.#byte(source)
      const bits = byte & 0x7f
      if (shift < 28) low |= bits << shift
      else if (shift === 28) {
        low |= bits << 28
        high = bits >>> 4
      } else high |= bits << (shift - 32)
    }
    this.low = low >>> 0
    this.high = high >>> 0
  }

  #byte(source: Uint8Array): number {
    if (this.#at >= this.#stop) throw new MalformedProtobuf('a number does not end')
    return source[this.#at++] as number
  }
}
