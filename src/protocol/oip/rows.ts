/**
 * Rows of the Open Inference Protocol: the slices of all tensors along dimension 0. A row is keyed by its values, and goes
 * upstream as its caller wrote it, JSON or blob; only rows in the same encoding share a request.
 */
import type { WholeBody } from '../../core/call.ts'
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import { blobsAgree, textsAgree } from '../agree.ts'
import { byBytes } from '../json/document.ts'
import { Column, MAX_ROWS, place } from '../json/rows.ts'
import { Cursor } from '../json/scan.ts'
import { listed, pack, unpack } from '../packed.ts'
import { Preimage, SpanHasher } from '../preimage.ts'
import type { Joined, Plan, Row, RowAnswer } from '../protocol.ts'
import {
  encodeBinary,
  encodeJson,
  HEADER_LENGTH,
  type Output,
  readAnswer,
  wantsBinary,
  writeAnswer,
} from './answer.ts'
import { commonFrame, frameOf, framesMatch, type OutputFrame, readFrame } from './frame.ts'
import { printElements } from './print.ts'
import type { Input, OipRequest, OutputPreferences } from './request.ts'
import {
  decodeJson,
  ELEMENT_BYTES,
  type EncodedTensor,
  elementsOf,
  type TensorType,
  textOffsets,
} from './tensor.ts'

/** What `address` and the functions for rows need to know about a request. */
export interface OipNotes {
  readonly preferences: OutputPreferences
  readonly request?: OipRequest
  /** The caller sent the length of the JSON part, even if all of the body is JSON. */
  readonly isMeasured?: boolean
}

/** How a row's values are written: JSON elements, a blob, or JSON elements in brackets of their own. */
const FLAT = 0
const BLOB = 1
const NESTED = 2

/** One row: one part for each input, in the caller's order; cut out of the body only when it is read. */
class TensorRow implements Row {
  readonly digest: Digest
  readonly #body: Uint8Array
  readonly #inputs: readonly Input[]
  readonly #index: number

  constructor(digest: Digest, body: Uint8Array, inputs: readonly Input[], index: number) {
    this.digest = digest
    this.#body = body
    this.#inputs = inputs
    this.#index = index
  }

  get wire(): Uint8Array {
    return pack(this.#inputs.map((input) => wirePart(this.#body, input, this.#index)))
  }
}

function wirePart(body: Uint8Array, { tensor }: Input, row: number): Uint8Array {
  const lexemes = tensor?.lexemes
  if (lexemes) return body.subarray(lexemes[row * 2], lexemes[row * 2 + 1])
  return tensor?.values.subarray(tensor.rows?.[row], tensor.rows?.[row + 1]) ?? new Uint8Array(0)
}

/** Canonical keys and digests, in order. */
export function putAll(preimage: Preimage, rest: ReadonlyMap<string, Digest>): void {
  preimage.number(rest.size)
  for (const key of [...rest.keys()].sort(byBytes)) preimage.latin1(key).latin1(rest.get(key) as Digest)
}

/** The rows of inputs whose dimension 0 is equal; undefined if it is not. */
export function rowsOf(
  common: Digest,
  body: Uint8Array,
  inputs: readonly Input[],
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
  const { request, isMeasured } = plan.common as OipNotes
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

const OPEN = Buffer.from('[')
const CLOSE = Buffer.from(']')

function shapeText(n: number, shape: readonly number[]): Buffer {
  return Buffer.from(`[${[n, ...shape.slice(1)].join()}]`)
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
  plan?: Plan,
): readonly RowAnswer[] | undefined {
  const answer = reply.status === 200 ? readAnswer(reply, body) : undefined
  if (!answer || !hasAll(answer.outputs, plan)) return undefined
  const columns: Uint8Array[][] = []
  for (const output of answer.outputs) {
    const parts = output.shape[0] === count ? cutOutput(body, output, count) : undefined
    if (!parts) return undefined
    columns.push(parts)
  }
  const frame = frameOf(answer)
  return Array.from({ length: count }, (_, row) => ({
    frame,
    slice: pack(columns.map((parts) => parts[row] as Uint8Array)),
  }))
}

/** Whether there are outputs, among them all that the request lists. */
export function hasAll(outputs: readonly { readonly name: string }[], plan?: Plan): boolean {
  const names = new Set(outputs.map((output) => output.name))
  const listed = plan ? (plan.common as OipNotes).preferences.listed.keys() : []
  return names.size > 0 && [...listed].every((name) => names.has(name))
}

/** Whether two answers to one row agree, in whichever encoding. */
export function answersAgree(a: RowAnswer, b: RowAnswer): boolean {
  if (!framesMatch(a.frame, b.frame)) return false
  const types = readFrame(a.frame)?.outputs ?? []
  const [left, right] = [unpack(a.slice) ?? [], unpack(b.slice) ?? []]
  if (left.length !== types.length || right.length !== types.length) return false
  return types.every((type, i) => partsAgree(left[i] as Uint8Array, right[i] as Uint8Array, type))
}

function partsAgree(a: Uint8Array, b: Uint8Array, type: TensorType): boolean {
  if (a[0] === b[0] && a[0] !== BLOB) return textsAgree(a.subarray(1), b.subarray(1))
  const [left, right] = [blobOf([a], type), blobOf([b], type)]
  return left !== undefined && right !== undefined && blobsAgree(left, right, type.datatype)
}

function cutOutput(body: Uint8Array, output: Output, count: number): Uint8Array[] | undefined {
  const perRow = elementsOf(output.shape.slice(1))
  if (!perRow) return undefined
  if (output.blob) return cutBlob(output.blob, output.datatype, { count, perRow })
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
  rows: { readonly count: number; readonly perRow: number },
): Uint8Array[] | undefined {
  const { count, perRow } = rows
  const size = ELEMENT_BYTES.get(datatype)
  const offsets = datatype === 'BYTES' ? textOffsets(blob, count * perRow) : undefined
  if (size === undefined ? !offsets : blob.length !== size * count * perRow) return undefined
  const at = (row: number) => (offsets ? (offsets[row * perRow] as number) : row * perRow * (size as number))
  return Array.from({ length: count }, (_, row) => part(BLOB, blob.subarray(at(row), at(row + 1))))
}

function part(kind: number, bytes: Uint8Array): Buffer {
  const tagged = Buffer.allocUnsafe(bytes.length + 1)
  tagged[0] = kind
  tagged.set(bytes, 1)
  return tagged
}

/** Assembles one answer from rows in order, in the caller's encoding; undefined if their frames do not match. */
export function assembleRows(
  plan: Plan,
  answers: readonly RowAnswer[],
  isSameForm = false,
): Reply | undefined {
  const { preferences } = plan.common as OipNotes
  // The frame is one that the server wrote in the encoding that this caller wants, if there is one.
  const frame = commonFrame(answers, ({ slice }, { outputs: [output] }) => {
    const isBlob = slice[PACKED_LENGTH] === BLOB
    return output !== undefined && isBlob === wantsBinary(preferences, output.name)
  })
  if (!frame || !hasAll(frame.outputs, plan)) return undefined
  const rows = answers.map((answer) => unpack(answer.slice) ?? [])
  if (!rows.every((row) => row.length === frame.outputs.length)) return undefined
  const texts: Uint8Array[] = []
  const blobs: Uint8Array[] = []
  for (const [i, output] of frame.outputs.entries()) {
    const parts = rows.map((row) => row[i] as Uint8Array)
    const isBinary = wanted(output, parts, { preferences, isSameForm })
    const encoded = assembleOutput(output, parts, isBinary)
    if (!encoded) return undefined
    texts.push(encoded.text)
    if (encoded.blob) blobs.push(encoded.blob)
  }
  const members = frame.members.map((text) => ({ text }))
  return writeAnswer({ status: 200, headers: [] }, { members, texts, blobs, id: preferences.id })
}

/** Whether an output is given as a blob: as the server gave it to callers of the same form, otherwise as this caller wants it. */
function wanted(
  { name }: OutputFrame,
  parts: readonly Uint8Array[],
  { preferences, isSameForm }: { readonly preferences: OutputPreferences; readonly isSameForm: boolean },
): boolean {
  const isBlob = parts[0]?.[0] === BLOB
  const isOneWay = isSameForm && parts.every((part) => (part[0] === BLOB) === isBlob)
  return isOneWay ? isBlob : wantsBinary(preferences, name)
}

/** The bytes of a part's length in a packed list. */
const PACKED_LENGTH = 4

function assembleOutput(
  frame: OutputFrame,
  parts: readonly Uint8Array[],
  isBinary: boolean,
): { text: Uint8Array; blob?: Uint8Array } | undefined {
  const shape = Buffer.concat([Buffer.from('"shape":'), shapeText(parts.length, [0, ...frame.shape])])
  const output = {
    members: frame.members.map((text) => memberText(text.length > 0 ? text : shape)),
    parameters: frame.parameters.map(memberText),
  }
  const values = isBinary ? blobOf(parts, frame) : elementsText(parts, frame.datatype)
  if (!values) return undefined
  return isBinary ? encodeBinary(output, values) : encodeJson(output, values)
}

const memberText = (text: Uint8Array) => ({ text })

/** The values of all rows as one blob. */
function blobOf(parts: readonly Uint8Array[], type: TensorType): Buffer | undefined {
  const blobs: Uint8Array[] = []
  for (const tagged of parts) {
    const bytes = tagged.subarray(1)
    const text = tagged[0] === FLAT ? Buffer.concat([OPEN, bytes, CLOSE]) : bytes
    const blob = tagged[0] === BLOB ? bytes : decodeElements(text, type)
    if (!blob) return undefined
    blobs.push(blob)
  }
  return Buffer.concat(blobs)
}

/** Decodes a slice, which may come from a shared cache: its grammar is checked first. */
function decodeElements(text: Uint8Array, type: TensorType): Uint8Array | undefined {
  const cursor = new Cursor(text)
  const span = cursor.value()
  return span && cursor.finish() ? decodeJson(text, span, type)?.values : undefined
}

/** The values of all rows as JSON elements; undefined if some are flat and some nested. */
function elementsText(parts: readonly Uint8Array[], datatype: string): Buffer | undefined {
  const texts: Uint8Array[] = []
  const nested = parts.filter((tagged) => tagged[0] === NESTED).length
  if (nested > 0 && nested < parts.length) return undefined
  for (const tagged of parts) {
    const bytes = tagged.subarray(1)
    const printed = tagged[0] === BLOB ? printElements(bytes, datatype) : undefined
    if (tagged[0] === BLOB && printed === undefined) return undefined
    texts.push(printed === undefined ? bytes : Buffer.from(printed))
  }
  return listed(texts)
}
