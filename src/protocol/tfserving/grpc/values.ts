/**
 * The values of a tensor in one form, so that `tensor_content`, packed lists and single values are one key, and rows can be cut
 * out of any of them: numbers little-endian and row-major, strings each behind four bytes with its length.
 */
import { createHash } from 'node:crypto'
import { PIECE_BYTES } from '../../../core/chunks.ts'
import { type Digest, digestOf } from '../../../core/key.ts'
import { decodeVarints, lastVarintEnd } from '../../protobuf/packed.ts'
import { FIXED32, FIXED64, MalformedProtobuf, VARINT } from '../../protobuf/reader.ts'
import type { MessageSource } from '../../protobuf/source.ts'
import { BypassReason, NOTHING } from './fields.ts'
import { lengthBytes, stringStarts } from './strings.ts'
import { BOOL, type TensorPlace } from './tensor.ts'

export interface TensorValues {
  digest(): Digest
  /** Undefined: the message is not in one piece. */
  readonly bytes: Uint8Array | undefined
}

/** How many bytes of copies may be added to the tensors of one request, whose values are fewer than their shapes ask for. */
export class Padding {
  #left = 1 << 20

  take(bytes: number): void {
    this.#left -= bytes
    if (this.#left < 0) throw new BypassReason('tensor-padding')
  }
}

/** Reads the values, with pauses. */
export function* readValues(
  source: MessageSource,
  tensor: TensorPlace,
  padding: Padding,
): Generator<void, TensorValues> {
  const sink = source.isWhole ? new KeptValues() : new DigestedValues()
  const reading = { source, tensor, sink }
  const { type, count, isContent } = tensor
  const read = isContent ? content : type.size === 0 ? strings : type.wire === VARINT ? varints : fixedNumbers
  const { known, last } = yield* read(reading)
  if (known > count) throw new BypassReason('tensor-values')
  if (known < count) {
    const missing = (count - known) * last.length
    padding.take(missing)
    sink.add(Buffer.alloc(missing, last))
  }
  return sink
}

interface ValueReading {
  readonly source: MessageSource
  readonly tensor: TensorPlace
  readonly sink: KeptValues | DigestedValues
}

/** How many values were read, and the bytes of the last one, which stands for those that are missing. */
type KnownValues = Generator<void, { readonly known: number; readonly last: Uint8Array }>

function* content({ source, tensor, sink }: ValueReading): KnownValues {
  const { type, count, runs } = tensor
  const [start, end] = runs as [number, number]
  if (end - start !== count * type.size) throw new BypassReason('tensor-values')
  yield* addPieces(source.pieces(start, end), sink)
  return { known: count, last: NOTHING }
}

function* addPieces(pieces: Iterable<Uint8Array>, sink: ValueReading['sink']): Generator<void, void> {
  for (const piece of pieces) {
    sink.add(piece)
    yield
  }
}

function* fixedNumbers({ source, tensor, sink }: ValueReading): KnownValues {
  const { size, wire } = tensor.type
  const unit = wire === FIXED32 ? 4 : wire === FIXED64 ? 8 : 1
  let length = 0
  for (const [start, end] of pairs(tensor.runs)) {
    if ((end - start) % unit !== 0) throw new MalformedProtobuf('a list of numbers ends within one')
    length += end - start
    yield* addPieces(source.pieces(start, end), sink)
  }
  if (length % size !== 0) throw new BypassReason('tensor-values')
  if (length === 0) return { known: 0, last: Buffer.alloc(size) }
  // A complex number may lie in two runs.
  const ends = [...pairs(tensor.runs.slice(-4))]
  const tails = ends.map(([start, end]) => source.slice(Math.max(start, end - size), end))
  return { known: length / size, last: Buffer.concat(tails).subarray(-size) }
}

function* varints({ source, tensor, sink }: ValueReading): KnownValues {
  const { dtype, type, count, runs } = tensor
  let known = 0
  let last: Uint8Array = Buffer.alloc(type.size)
  for (const [start, end] of pairs(runs)) {
    for (let at = start; at < end; ) {
      const piece = source.slice(at, Math.min(at + PIECE_BYTES, end))
      const length = lastVarintEnd(piece)
      if (length === 0) throw new MalformedProtobuf('a number does not end')
      const values = decodeVarints(piece.subarray(0, length), type.size, dtype === BOOL)
      at += length
      known += values.length / type.size
      if (known > count) throw new BypassReason('tensor-values')
      sink.add(values)
      last = values.subarray(-type.size)
      yield
    }
  }
  return { known, last }
}

function* strings({ source, tensor, sink }: ValueReading): KnownValues {
  const { runs } = tensor
  for (const [start, end] of pairs(runs)) {
    sink.add(lengthBytes(end - start))
    yield* addPieces(source.pieces(start, end), sink)
  }
  const [start = 0, end = 0] = runs.slice(-2)
  const known = runs.length / 2
  const last =
    known < tensor.count ? Buffer.concat([lengthBytes(end - start), source.slice(start, end)]) : NOTHING
  return { known, last }
}

function* pairs(runs: readonly number[]): Generator<readonly [number, number], void> {
  for (let i = 0; i < runs.length; i += 2) yield [runs[i] as number, runs[i + 1] as number]
}

/** Below this a copy is cheaper than another piece. */
const SHORT_BYTES = 512
const BLOCK_BYTES = 16 << 10

/** Keeps the values; a tensor that is in one piece is not copied. */
class KeptValues implements TensorValues {
  readonly #pieces: Uint8Array[] = []
  #block = Buffer.alloc(0)
  /** The part of the block that is in no piece yet. */
  #start = 0
  #end = 0
  #joined: Uint8Array | undefined

  add(bytes: Uint8Array): void {
    if (this.#pieces.length === 0 || bytes.length >= SHORT_BYTES) {
      this.#close()
      this.#pieces.push(bytes)
      return
    }
    if (this.#end + bytes.length > this.#block.length) {
      this.#close()
      this.#block = Buffer.allocUnsafe(BLOCK_BYTES)
      this.#start = this.#end = 0
    }
    this.#block.set(bytes, this.#end)
    this.#end += bytes.length
  }

  get bytes(): Uint8Array {
    if (this.#joined) return this.#joined
    this.#close()
    const [only = NOTHING, ...others] = this.#pieces
    this.#joined = others.length === 0 ? only : Buffer.concat(this.#pieces)
    return this.#joined
  }

  digest(): Digest {
    return digestOf(this.bytes)
  }

  #close(): void {
    if (this.#end > this.#start) this.#pieces.push(this.#block.subarray(this.#start, this.#end))
    this.#start = this.#end
  }
}

class DigestedValues implements TensorValues {
  readonly bytes = undefined
  readonly #hash = createHash('sha256')

  add(bytes: Uint8Array): void {
    this.#hash.update(bytes)
  }

  digest(): Digest {
    return this.#hash.digest('latin1') as Digest
  }
}

/** Where the values of each of `rows` rows begin, and the end; undefined: the values are not those of so many rows. */
export function rowStarts(
  { type, dims }: TensorPlace,
  rows: number,
  values: Uint8Array,
): Uint32Array | undefined {
  const perRow = dims.slice(1).reduce((product, size) => product * size, 1)
  if (perRow === 0 || rows === 0) return undefined
  if (type.size === 0) return stringStarts(values, rows * perRow, perRow)
  const size = perRow * type.size
  return values.length === rows * size
    ? Uint32Array.from({ length: rows + 1 }, (_, i) => i * size)
    : undefined
}
