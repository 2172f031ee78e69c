/** Notes on the fields of one message, which callers may make as many and as small as they like. */
import { MalformedProtobuf, type MessageReader } from '../../protobuf/reader.ts'

/** The most fields of a message and its parts that are looked at, but for numbers in lists; each may cost an object. */
const MAX_FIELDS = 16_384

/** Counts the fields of a message and of all its parts. */
export class FieldBudget {
  #left = MAX_FIELDS

  /** Throws `MalformedProtobuf` after the last one. */
  take(): void {
    if (this.#left-- === 0) throw new MalformedProtobuf('it has too many fields')
  }
}

/** Fields of a message as written, one behind the other; kept as places until they are needed. */
export class KeptFields {
  readonly #source: Uint8Array
  readonly #places: number[] = []

  constructor(source: Uint8Array) {
    this.#source = source
  }

  get isEmpty(): boolean {
    return this.#places.length === 0
  }

  /** Keeps the field that was read last. */
  keep({ begin, at }: MessageReader): void {
    const places = this.#places
    if (places.at(-1) === begin) places[places.length - 1] = at
    else places.push(begin, at)
  }

  bytes(): Uint8Array {
    const [start, end] = this.#places
    if (this.#places.length === 2) return this.#source.subarray(start, end)
    const parts: Uint8Array[] = []
    for (let i = 0; i < this.#places.length; i += 2)
      parts.push(this.#source.subarray(this.#places[i], this.#places[i + 1]))
    return Buffer.concat(parts)
  }
}
