/**
 * Reads a long request of the Open Inference Protocol in steps, from the pieces it came in. It has the same keys as in one
 * piece, but no tensor is kept: each goes into its digest while it is decoded.
 */
import { createHash } from 'node:crypto'
import type { Chunks } from '../../core/chunks.ts'
import { PIECE_BYTES } from '../../core/chunks.ts'
import { type Digest, digestSteps } from '../../core/key.ts'
import { type Hole, skeletonOf } from '../json/holes.ts'
import { streamValue } from '../json/steps.ts'
import type { Bypass } from '../protocol.ts'
import { putter } from './put.ts'
import {
  contentOf,
  type Input,
  type InputContent,
  type LocatedInput,
  type OipRequest,
  readOutline,
} from './request.ts'
import { DataReader, ELEMENT_BYTES, elementsOf, FITS, measured, READING, type TensorType } from './tensor.ts'

/** The brackets around `data`: those of the request, its inputs, and the input. */
const AROUND_DATA = 3
/** The longest element; a tensor with a longer one is keyed as written. */
const MAX_ELEMENT_BYTES = 1 << 20
/** How much longer than its JSON a tensor may be: the shortest element, `1,`, has two bytes, and the longest value eight. */
const MAX_GROWTH = 4

/** Reads the request in a body whose first `jsonEnd` bytes are JSON, or why it must not be cached. */
export function* requestSteps(body: Chunks, jsonEnd: number): Generator<void, OipRequest | Bypass> {
  const skeleton = yield* skeletonOf(body, jsonEnd, AROUND_DATA)
  if (!skeleton) return { bypass: 'long-json' }
  const outline = readOutline(skeleton.bytes, { jsonEnd, end: body.length })
  if ('bypass' in outline) return outline
  const holes = new Map(skeleton.holes.map((hole) => [hole.at, hole]))
  const inputs: Input[] = []
  let bench: DecodeBuffers | undefined
  for (const placed of outline.inputs) {
    const hole = placed.data && holes.get(placed.data.start)
    if (hole) holes.delete(hole.at)
    const content = hole
      ? yield* arraySteps(body, hole, { ...placed, bench: (bench ??= new DecodeBuffers()) })
      : placed.data
        ? contentOf(skeleton.bytes, placed, false)
        : yield* blobSteps(body, placed)
    if ('bypass' in content) return content
    inputs.push({ ...placed, ...content })
    yield
  }
  // A long array outside of `data` was cut out, so the outline is not what the caller wrote.
  return holes.size > 0 ? { bypass: 'long-json' } : { ...outline, inputs }
}

export function* blobSteps(
  body: Chunks,
  { datatype, shape, place }: TensorType & Pick<LocatedInput, 'place'>,
): Generator<void, InputContent | Bypass> {
  const count = elementsOf(shape)
  const size = ELEMENT_BYTES.get(datatype)
  const fits =
    count !== undefined &&
    (datatype === 'BYTES'
      ? yield* textsFill(body.pieces(place.start, place.end), count)
      : size !== undefined && count * size === place.end - place.start)
  return fits ? { values: yield* digestSteps(body.pieces(place.start, place.end)) } : { bypass: 'blob-size' }
}

/** Whether a blob is exactly so many strings, each behind four bytes with its length. */
function* textsFill(pieces: Iterable<Uint8Array>, count: number): Generator<void, boolean> {
  let seen = 0
  let left = 0
  let length = 0
  let known = 0
  for (const piece of pieces) {
    for (let i = 0; i < piece.length; ) {
      const passed = Math.min(left, piece.length - i)
      i += passed
      left -= passed
      if (left > 0 || i === piece.length) continue
      length += (piece[i++] as number) * 2 ** (8 * known)
      if (++known < 4) continue
      left = length
      length = known = 0
      seen++
    }
    yield
  }
  return left === 0 && known === 0 && seen === count
}

function* arraySteps(
  body: Chunks,
  hole: Hole,
  input: LocatedInput & { readonly bench: DecodeBuffers },
): Generator<void, InputContent | Bypass> {
  // The grammar is checked first, since decoding trusts it.
  const asWritten = yield* streamValue(body.pieces(hole.start, hole.end), AROUND_DATA)
  if (typeof asWritten !== 'string') return { bypass: asWritten.problem }
  return (yield* valueSteps(body, hole, input)) ?? { asWritten }
}

/** The buffers that the arrays of one request are decoded in, one after the other. */
class DecodeBuffers {
  /** Room for the beginning of an element, and one more piece. */
  readonly window = Buffer.allocUnsafeSlow(MAX_ELEMENT_BYTES + PIECE_BYTES)
  readonly out = Buffer.allocUnsafeSlow(MAX_ELEMENT_BYTES + PIECE_BYTES * MAX_GROWTH + 16)
}

/** Digest of the tensor that valid JSON spells; undefined if it does not fit datatype and shape. */
function* valueSteps(
  body: Chunks,
  { start, end }: Hole,
  input: LocatedInput & { readonly bench: DecodeBuffers },
): Generator<void, InputContent | undefined> {
  const found = measured(input, end - start)
  if (!found) return undefined
  const { window, out } = input.bench
  const put = putter(window, input.datatype, { out })
  if (!put) return undefined
  const short: typeof put = (from, to, at) => (to - from > MAX_ELEMENT_BYTES ? -1 : put(from, to, at))
  const reader = new DataReader(window, input.shape, { count: found.count, put: short, rows: false })
  const hash = createHash('sha256')
  let kept = 0
  for (const piece of body.pieces(start, end)) {
    window.set(piece, kept)
    const filled = kept + piece.length
    const read = reader.read(0, filled)
    if (reader.state !== READING && reader.state !== FITS) return undefined
    hash.update(out.subarray(0, reader.at))
    reader.rewind()
    window.copyWithin(0, read, filled)
    kept = filled - read
    if (kept > MAX_ELEMENT_BYTES) return undefined
    yield
  }
  if (reader.state !== FITS) return undefined
  return { values: hash.digest('latin1') as Digest, nested: reader.isNested }
}
