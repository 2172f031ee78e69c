/**
 * Rows of the Open Inference Protocol: the slices of all tensors along dimension 0. A row is keyed by its values, and goes
 * upstream as its caller wrote it, JSON or blob; only rows in the same encoding share a request.
 */
import type { WholeBody } from '../../core/call.ts'
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import { blobDifference, textDifference } from '../agree.ts'
import type { Difference } from '../difference.ts'
import { Column, MAX_ROWS, place } from '../json/rows.ts'
import { Cursor } from '../json/scan.ts'
import { listed, pack, unpack } from '../packed.ts'
import { Preimage, SpanHasher } from '../preimage.ts'
import type { AskedRows, Joined, Plan, Row, RowAnswer } from '../protocol.ts'
import type { Output } from './answer.ts'
import { blobOf, CLOSE, OPEN, shapeText } from './assemble.ts'
import { HEADER_LENGTH } from './body-fields.ts'
import { frameOf, framesMatch, readFrame } from './frame.ts'
import { joinGrpc } from './grpc/join.ts'
import { putAll } from './keys.ts'
import { hasAll, type OipNotes } from './notes.ts'
import { BLOB, FLAT, isBlob, NESTED, part, TYPED } from './parts.ts'
import { readAnswer } from './read-answer.ts'
import type { TensorInput } from './request.ts'
import { ELEMENT_BYTES, type EncodedTensor, elementsOf, type TensorType, textOffsets } from './tensor.ts'

/** One row: one part for each input, in the caller's order; cut out of the body only when it is read. */
class TensorRow implements Row {
  readonly digest: Digest
  readonly #body: Uint8Array
  readonly #inputs: readonly TensorInput[]
  readonly #index: number

  constructor(digest: Digest, body: Uint8Array, inputs: readonly TensorInput[], index: number) {
    this.digest = digest
    this.#body = body
    this.#inputs = inputs
    this.#index = index
  }

  get wire(): Uint8Array {
    return pack(this.#inputs.map((input) => wirePart(this.#body, input, this.#index)))
  }
}

function wirePart(body: Uint8Array, { tensor }: TensorInput, row: number): Uint8Array {
  const lexemes = tensor?.lexemes
  if (lexemes) return body.subarray(lexemes[row * 2], lexemes[row * 2 + 1])
  return tensor?.values.subarray(tensor.rows?.[row], tensor.rows?.[row + 1]) ?? new Uint8Array(0)
}

/** The rows of inputs whose dimension 0 is equal; undefined if it is not. */
export function rowsOf(
  common: Digest,
  body: Uint8Array,
  inputs: readonly TensorInput[],
): { rows: readonly Row[]; batch: Digest } | undefined {
  const n = inputs[0]?.shape[0] ?? 0
  if (n === 0 || n > MAX_ROWS || !inputs.every(({ tensor, shape }) => tensor?.rows && shape[0] === n))
    return undefined
  const prefix = new Preimage().latin1(common).text('row').number(inputs.length)
  for (const { name, datatype, shape, nested, rest } of inputs) {
    prefix
      .latin1(name)
      .latin1(datatype)
      .text(shape.slice(1).join())
      .text(nested ? 'nested' : 'values')
    putAll(prefix, rest)
  }
  const digest = prefix.digest()
  const hasher = new SpanHasher(digest)
  const tensors = inputs.map((input) => input.tensor as EncodedTensor)
  const rows = Array.from({ length: n }, (_, row) => {
    // The length of each part follows from datatype and shape, or stands before each string, so no separator is needed.
    hasher.begin()
    for (const { values, rows: starts } of tensors) {
      hasher.add(values, starts?.[row] as number, starts?.[row + 1] as number)
    }
    return new TensorRow(hasher.digest(), body, inputs, row)
  })
  const batch = new Preimage().latin1(digest)
  for (const { tensor } of inputs) batch.number(tensor?.lexemes ? FLAT : BLOB)
  return { rows, batch: batch.digest() }
}

/** Writes the caller's request with other rows in its tensors; everything else stays as the caller wrote it. */
export function joinRows(plan: Plan, rows: readonly Row[], body: WholeBody): Joined {
  const { request, isMeasured, grpc } = plan.common as OipNotes
  if (grpc) return joinGrpc(grpc, rows)
  if (!request || !(body instanceof Uint8Array)) throw new Error('join: the plan has no rows')
  const wires = rows.map((row) => unpack(row.wire) ?? [])
  const blobs: Uint8Array[] = []
  const edits: { start: number; end: number; text: Uint8Array }[] = []
  for (const [at, input] of request.inputs.entries()) {
    const parts = wires.map((wire) => wire[at] as Uint8Array)
    edits.push({ ...input.shapeAt, text: shapeText(rows.length, input.shape) })
    if (input.sizeAt) {
      blobs.push(...parts)
      const size = parts.reduce((sum, part) => sum + part.length, 0)
      edits.push({ ...input.sizeAt, text: Buffer.from(String(size)) })
    } else edits.push({ ...input.place, text: Buffer.concat([OPEN, listed(parts), CLOSE]) })
  }
  const json = edited(body.subarray(0, request.jsonEnd), edits)
  const headers = isMeasured ? [HEADER_LENGTH, String(json.length)] : []
  return { headers, body: blobs.length === 0 ? json : Buffer.concat([json, ...blobs]) }
}

function edited(
  source: Uint8Array,
  edits: readonly { start: number; end: number; text: Uint8Array }[],
): Buffer {
  const parts: Uint8Array[] = []
  let at = 0
  for (const { start, end, text } of [...edits].sort((a, b) => a.start - b.start)) {
    parts.push(source.subarray(at, start), text)
    at = end
  }
  return Buffer.concat([...parts, source.subarray(at)])
}

/** Cuts an answer into rows; what the rows have in common goes into the frame. */
export function cutAnswer(
  reply: Reply,
  body: Uint8Array,
  count: number,
  asked?: AskedRows,
): readonly RowAnswer[] | undefined {
  const answer = reply.status === 200 ? readAnswer(reply, body) : undefined
  if (!answer || !hasAll(answer.outputs, asked)) return undefined
  const blobs = answer.grpc?.isRaw === false ? TYPED : BLOB
  const columns: Uint8Array[][] = []
  for (const output of answer.outputs) {
    const parts = output.shape[0] === count ? cutOutput(answer.body, output, { count, blobs }) : undefined
    if (!parts) return undefined
    columns.push(parts)
  }
  const frame = frameOf(answer)
  return Array.from({ length: count }, (_, row) => ({
    frame,
    slice: pack(columns.map((parts) => parts[row] as Uint8Array)),
  }))
}

/** Whether two answers to one row agree, in whichever encoding. */
export function answersAgree(a: RowAnswer, b: RowAnswer): boolean {
  if (!framesMatch(a.frame, b.frame)) return false
  const types = readFrame(a.frame)?.outputs ?? []
  const [left, right] = [unpack(a.slice) ?? [], unpack(b.slice) ?? []]
  if (left.length !== types.length || right.length !== types.length) return false
  return types.every(
    (type, i) => partDifference(left[i] as Uint8Array, right[i] as Uint8Array, type) === undefined,
  )
}

/** How two rows of a tensor differ, in whichever encoding; undefined: they agree. */
export function partDifference(a: Uint8Array, b: Uint8Array, type: TensorType): Difference | undefined {
  if (a[0] === b[0] && !isBlob(a)) return textDifference(a.subarray(1), b.subarray(1))
  const [left, right] = [blobOf([a], type), blobOf([b], type)]
  return left && right ? blobDifference(left, right, type.datatype) : { what: 'text' }
}

/** How many rows there are, and the kind of those that are cut out of blobs. */
interface Cut {
  readonly count: number
  readonly blobs: number
}

/** The output's rows, as parts. */
export function cutOutput(body: Uint8Array, output: Output, { count, blobs }: Cut): Uint8Array[] | undefined {
  const perRow = elementsOf(output.shape.slice(1))
  if (!perRow) return undefined
  if (output.blob) return cutBlob(output.blob, output.datatype, { count, perRow, blobs })
  const data = output.data && body.subarray(output.data.start, output.data.end)
  const column = new Column('')
  if (!data || !column.read(new Cursor(data))) return undefined
  const isNested =
    output.shape.length > 1 && column.count === count && data[column.at(0, place()).start] === 0x5b
  if (isNested ? !column.isEven : column.count !== count * perRow) return undefined
  const step = isNested ? 1 : perRow
  return Array.from({ length: count }, (_, row) => {
    const { start } = column.at(row * step, place())
    const { end } = column.at((row + 1) * step - 1, place())
    return part(isNested ? NESTED : FLAT, data.subarray(start, end))
  })
}

function cutBlob(
  blob: Uint8Array,
  datatype: string,
  { count, perRow, blobs }: Cut & { readonly perRow: number },
): Uint8Array[] | undefined {
  const size = ELEMENT_BYTES.get(datatype)
  const offsets = datatype === 'BYTES' ? textOffsets(blob, count * perRow) : undefined
  if (size === undefined ? !offsets : blob.length !== size * count * perRow) return undefined
  const at = (row: number) => (offsets ? (offsets[row * perRow] as number) : row * perRow * (size as number))
  return Array.from({ length: count }, (_, row) => part(blobs, blob.subarray(at(row), at(row + 1))))
}
