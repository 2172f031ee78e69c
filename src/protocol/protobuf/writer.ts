/** Writes a protobuf message as a list of pieces, so that long values are not copied before the message is joined. */
import { BYTES, FIXED32, FIXED64, VARINT } from './reader.ts'

export class MessageWriter {
  readonly #pieces: Uint8Array[] = []
  #length = 0

  /** How many bytes were written. */
  get length(): number {
    return this.#length
  }

  /** A string, `bytes`, a message that is written already, or a packed list. */
  bytes(field: number, value: Uint8Array): this {
    this.#add(header(field, value.length))
    return this.#add(value)
  }

  text(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value, 'utf8'))
  }

  /** A message whose pieces become pieces of this one. */
  message(field: number, value: MessageWriter): this {
    this.#add(header(field, value.#length))
    for (const piece of value.#pieces) this.#add(piece)
    return this
  }

  /** `int32`, `int64`, `uint32`, `uint64`, `bool` and enums. */
  varint(field: number, value: number | bigint): this {
    return this.#add(Buffer.from([...varintOf(tag(field, VARINT)), ...varintOf(value)]))
  }

  float(field: number, value: number): this {
    const piece = Buffer.alloc(4)
    piece.writeFloatLE(value)
    this.#add(Buffer.from(varintOf(tag(field, FIXED32))))
    return this.#add(piece)
  }

  double(field: number, value: number): this {
    const piece = Buffer.alloc(8)
    piece.writeDoubleLE(value)
    this.#add(Buffer.from(varintOf(tag(field, FIXED64))))
    return this.#add(piece)
  }

  /** Fields that are written already, such as unknown ones of another message. */
  raw(fields: Uint8Array): this {
    return this.#add(fields)
  }

  /** The message, `before` bytes behind the start of the buffer, which are left to the caller. */
  join(before = 0): Buffer {
    const joined = Buffer.allocUnsafe(before + this.#length)
    let at = before
    for (const piece of this.#pieces) {
      joined.set(piece, at)
      at += piece.length
    }
    return joined
  }

  #add(piece: Uint8Array): this {
    this.#pieces.push(piece)
    this.#length += piece.length
    return this
  }
}

function tag(field: number, wire: number): number {
  return ((field << 3) | wire) >>> 0
}

function header(field: number, length: number): Buffer {
  return Buffer.from([...varintOf(tag(field, BYTES)), ...varintOf(length)])
}

/** Writes a varint, given as the two halves of an unsigned number of 64 bits, at `start`; returns the index behind it. */
export function putVarint(out: Uint8Array, start: number, low: number, high: number): number {
  let at = start
  let [rest, more] = [low >>> 0, high >>> 0]
  while (more > 0 || rest > 0x7f) {
    out[at++] = (rest & 0x7f) | 0x80
    rest = ((rest >>> 7) | (more << 25)) >>> 0
    more >>>= 7
  }
  out[at++] = rest
  return at
}

/** The bytes of a varint; negative numbers as ten bytes, as `int32` and `int64` are written. */
export function varintOf(value: number | bigint): number[] {
  const bytes: number[] = []
  if (typeof value === 'number' && value >= 0 && value < 2 ** 31) {
    let rest = value
    for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
    bytes.push(rest)
    return bytes
  }
  let rest = BigInt.asUintN(64, BigInt(value))
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  bytes.push(Number(rest))
  return bytes
}
