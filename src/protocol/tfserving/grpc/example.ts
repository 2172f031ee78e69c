/**
 * `tensorflow.Example` by meaning (tensorflow/core/example/example.proto): features have no order, and lists of numbers may be
 * packed or not. What parsers read differently, such as a feature of two kinds, is not cached. A call may have thousands of
 * examples, so features are written one behind the other into memory that is used again, and no objects are made of values.
 */
import { isUtf8 } from 'node:buffer'
import { type Digest, digestOf } from '../../../core/key.ts'
import { Scratch } from '../../../lib/scratch.ts'
import { BYTES, FIXED32, MalformedProtobuf, MessageReader, VARINT } from '../../protobuf/reader.ts'
import { BypassReason, NOTHING, needBytes, OtherFields, once } from './fields.ts'

const MAX_FEATURES = 16_384

/** The kinds are the numbers of the fields of `Feature`; 0: none, as a feature that is missing. */
const BYTES_LIST = 1
const FLOAT_LIST = 2
const INT64_LIST = 3

/** A feature that was written. */
interface WrittenFeature {
  /** A character a byte. */
  readonly name: string
  readonly start: number
  readonly end: number
}

/** What goes into a key, under a digest of its own. */
export function exampleDigest(example: Uint8Array): Digest {
  const source = Buffer.from(example.buffer, example.byteOffset, example.length)
  const fields = new MessageReader(source)
  written.begin()
  let others: OtherFields | undefined
  let ofFeatures = NOTHING
  let features: WrittenFeature[] | undefined
  while (fields.next()) {
    if (fields.field === 1) {
      once(features !== undefined)
      features = []
      ofFeatures = writeFeatures(source, needBytes(fields).message(), features)
    } else (others ??= new OtherFields()).put(fields.field, fields.whole())
  }
  return digestInOrder(features ?? [], [others?.join() ?? NOTHING, ofFeatures])
}

/** The features in the order of their names; of several with one name the last counts. */
function digestInOrder(features: WrittenFeature[], others: readonly Uint8Array[]): Digest {
  features.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.start - b.start))
  const counted = features.filter(({ name }, i) => name !== features[i + 1]?.name)
  ordered.begin()
  for (const bytes of others) {
    ordered.number(bytes.length)
    ordered.add(bytes, 0, bytes.length)
  }
  ordered.number(counted.length)
  for (const { start, end } of counted) ordered.add(written.bytes, start, end)
  return digestOf(ordered.view())
}

/** Writes `map<string, Feature>`, and returns the fields that are not known. */
function writeFeatures(source: Buffer, fields: MessageReader, features: WrittenFeature[]): Uint8Array {
  let others: OtherFields | undefined
  while (fields.next()) {
    if (fields.field === 1) features.push(writeEntry(source, needBytes(fields).message()))
    else (others ??= new OtherFields()).put(fields.field, fields.whole())
    if (features.length > MAX_FEATURES) throw new BypassReason('many-fields')
  }
  return others?.join() ?? NOTHING
}

function writeEntry(source: Buffer, entry: MessageReader): WrittenFeature {
  let [nameStart, nameEnd] = [0, 0]
  let feature: MessageReader | undefined
  while (entry.next()) {
    if (entry.field === 1) [nameStart, nameEnd] = [needBytes(entry).start, entry.end]
    else if (entry.field === 2) {
      once(feature !== undefined)
      feature = needBytes(entry).message()
    } else throw new BypassReason('map-entry')
  }
  const name = source.toString('latin1', nameStart, nameEnd)
  if (!isAscii(name) && !isUtf8(source.subarray(nameStart, nameEnd))) throw new BypassReason('invalid-utf8')
  const start = written.length
  written.number(nameEnd - nameStart)
  written.add(source, nameStart, nameEnd)
  writeFeature(source, feature)
  return { name, start, end: written.length }
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false
  return true
}

function writeFeature(source: Buffer, fields: MessageReader | undefined): void {
  let others: OtherFields | undefined
  let kind = 0
  const start = written.length
  written.number(0)
  while (fields?.next()) {
    if (fields.field > INT64_LIST) (others ??= new OtherFields()).put(fields.field, fields.whole())
    else {
      once(kind !== 0)
      kind = fields.field
      writeList(source, needBytes(fields).message(), kind)
    }
  }
  written.numberAt(start, kind)
  const rest = others?.join() ?? NOTHING
  written.number(rest.length)
  written.add(rest, 0, rest.length)
}

/** Writes how many values there are, and each: strings behind their lengths, numbers little-endian. */
function writeList(source: Buffer, fields: MessageReader, kind: number): void {
  const wire = kind === BYTES_LIST ? BYTES : kind === FLOAT_LIST ? FIXED32 : VARINT
  const start = written.length
  let count = 0
  written.number(0)
  while (fields.next()) {
    if (fields.field !== 1) throw new BypassReason('list-field')
    if (fields.wire !== wire) needBytes(fields)
    count += writeValues(source, fields, kind)
  }
  written.numberAt(start, count)
}

/** The values in the field that was read last: a string, or numbers that may be packed. Returns how many. */
function writeValues(source: Buffer, { start, end }: MessageReader, kind: number): number {
  if (kind === BYTES_LIST) {
    written.number(end - start)
    written.add(source, start, end)
    return 1
  }
  if (kind === FLOAT_LIST) {
    if ((end - start) % 4 !== 0) throw new MalformedProtobuf('a list of numbers ends within one')
    written.add(source, start, end)
    return (end - start) / 4
  }
  let count = 0
  for (const numbers = new MessageReader(source, start, end); numbers.number(); count++) {
    written.number(numbers.low)
    written.number(numbers.high)
  }
  return count
}

/** Up to this length a loop copies faster than a view and `set` do. */
const LOOP_BYTES = 96
const KEEP_BYTES = 1 << 20

/** Bytes that are read before the next example. */
class ExampleBytes {
  readonly #scratch = new Scratch(64 << 10)
  length = 0

  get bytes(): Buffer {
    return this.#scratch.bytes
  }

  begin(): void {
    this.length = 0
    if (this.#scratch.bytes.length > KEEP_BYTES) this.#scratch.shrink()
  }

  /** An unsigned number of 32 bits. */
  number(value: number): void {
    this.#scratch.fit(this.length + 4, this.length)
    this.numberAt(this.length, value)
    this.length += 4
  }

  /** The same in place of one that was written. */
  numberAt(at: number, value: number): void {
    const { bytes } = this.#scratch
    bytes[at] = value
    bytes[at + 1] = value >>> 8
    bytes[at + 2] = value >>> 16
    bytes[at + 3] = value >>> 24
  }

  add(source: Uint8Array, start: number, end: number): void {
    const size = end - start
    this.#scratch.fit(this.length + size, this.length)
    const { bytes } = this.#scratch
    if (size > LOOP_BYTES) bytes.set(source.subarray(start, end), this.length)
    else for (let i = 0; i < size; i++) bytes[this.length + i] = source[start + i] as number
    this.length += size
  }

  view(): Buffer {
    return this.#scratch.view(this.length)
  }
}

const written = new ExampleBytes()
const ordered = new ExampleBytes()
