/**
 * A message where it lies, in one piece or in the pieces of a long body, so that one reader serves both. A long value is
 * located and digested, and never joined.
 */
import type { Chunks } from '../../core/chunks.ts'
import { BYTES, MalformedProtobuf, MessageReader } from './reader.ts'

/** Reads the fields of a message; offsets are those of the `MessageSource`. */
export type FieldReader = Pick<
  MessageReader,
  | 'field'
  | 'wire'
  | 'start'
  | 'end'
  | 'low'
  | 'high'
  | 'int32'
  | 'int64'
  | 'safeInt64'
  | 'isTrue'
  | 'at'
  | 'next'
  | 'bytes'
> & { message(): FieldReader }

export interface MessageSource {
  /** The fields of the message. */
  fields(): FieldReader
  /** The bytes from `start` up to `end`, a view if they lie in one piece. */
  slice(start: number, end: number): Uint8Array
  /** The same in views; a long body's have at most `PIECE_BYTES`. */
  pieces(start: number, end: number): Iterable<Uint8Array>
  /** The message is in one piece, so that its values are at hand. */
  readonly isWhole: boolean
  /** To be called after a pause: only so many fields of a long body are read in a row. */
  resume(): void
}

/** A message in one piece. */
export class WholeSource implements MessageSource {
  readonly isWhole = true
  readonly #message: Uint8Array

  constructor(message: Uint8Array) {
    this.#message = message
  }

  fields(): MessageReader {
    return new MessageReader(this.#message)
  }

  slice(start: number, end: number): Uint8Array {
    return this.#message.subarray(start, end)
  }

  pieces(start: number, end: number): readonly Uint8Array[] {
    return [this.slice(start, end)]
  }

  resume(): void {}
}

/** A message in the pieces of a long body, behind its first `before` bytes. */
export class ChunkSource implements MessageSource {
  readonly isWhole = false
  readonly #body: Chunks
  readonly #before: number
  readonly #allowance = { fields: FIELDS_IN_A_ROW }

  constructor(body: Chunks, before: number) {
    this.#body = body
    this.#before = before
  }

  fields(): ChunkReader {
    return new ChunkReader(this.#body, { start: this.#before, end: this.#body.length }, this.#allowance)
  }

  slice(start: number, end: number): Uint8Array {
    return this.#body.slice(start, end)
  }

  pieces(start: number, end: number): Iterable<Uint8Array> {
    return this.#body.pieces(start, end)
  }

  resume(): void {
    this.#allowance.fields = FIELDS_IN_A_ROW
  }
}

/** Reading more fields of a long body than these takes several milliseconds. */
const FIELDS_IN_A_ROW = 16_384

/** A long body has more fields than can be read at once. */
export class TooManyFields extends Error {
  constructor() {
    super(`more than ${FIELDS_IN_A_ROW} fields`)
    this.name = 'TooManyFields'
  }
}

/** A tag has at most ten bytes, and so has a number or a length behind it. */
const HEAD_BYTES = 20

/** Reads the fields of a message in pieces. A group, which nobody writes any more, must lie within a few bytes. */
class ChunkReader implements FieldReader {
  field = 0
  wire = 0
  start = 0
  end = 0
  low = 0
  high = 0
  at: number
  readonly #body: Chunks
  readonly #stop: number
  readonly #allowance: { fields: number }
  #head = new MessageReader(NOTHING)

  constructor(
    body: Chunks,
    { start, end }: { readonly start: number; readonly end: number },
    allowance: { fields: number },
  ) {
    this.#body = body
    this.at = start
    this.#stop = end
    this.#allowance = allowance
  }

  next(): boolean {
    const { at } = this
    if (at >= this.#stop) return false
    if (--this.#allowance.fields < 0) throw new TooManyFields()
    const head = new MessageReader(this.#body.slice(at, Math.min(at + HEAD_BYTES, this.#stop)))
    head.open()
    this.#head = head
    this.field = head.field
    this.wire = head.wire
    this.low = head.low
    this.high = head.high
    this.start = at + head.start
    this.end = at + head.end
    this.at = this.wire === BYTES ? this.end : at + head.at
    if (this.at > this.#stop) throw new MalformedProtobuf('a value is longer than its message')
    return true
  }

  get int32(): number {
    return this.#head.int32
  }

  get int64(): bigint {
    return this.#head.int64
  }

  get safeInt64(): number | undefined {
    return this.#head.safeInt64
  }

  get isTrue(): boolean {
    return this.#head.isTrue
  }

  bytes(): Uint8Array {
    return this.#body.slice(this.start, this.end)
  }

  message(): ChunkReader {
    return new ChunkReader(this.#body, this, this.#allowance)
  }
}

const NOTHING = new Uint8Array(0)
