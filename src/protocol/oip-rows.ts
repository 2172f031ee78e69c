/**
 * Rows of the Open Inference Protocol: dimension 0 of every tensor. A row is keyed by its values and goes
 * upstream as its caller wrote it, JSON or blob; only rows written alike share a request.
 */
import type { WholeBody } from '../core/call.ts'
import type { Digest } from '../core/key.ts'
import type { Reply } from '../core/reply.ts'
import { blobsAgree, textsAgree } from './agree.ts'
import { byBytes } from './json-document.ts'
import { Column, MAX_ROWS, place } from './json-rows.ts'
import { Cursor } from './json-scan.ts'
import {
  encodeBinary,
  encodeJson,
  HEADER_LENGTH,
  type Output,
  readAnswer,
  wantsBinary,
  writeAnswer,
} from './oip-answer.ts'
import { printElements } from './oip-print.ts'
import type { Input, Request, Wishes } from './oip-request.ts'
import { decodeJson, ELEMENT_BYTES, elementsOf, type Tensor, textOffsets } from './oip-tensor.ts'
import { listed, pack, unpack } from './packed.ts'
import { Preimage, SpanHasher } from './preimage.ts'
import type { Joined, Plan, Row, RowAnswer } from './protocol.ts'

/** What `address` and the rows need to know of a request. */
export interface Notes {
  readonly wishes: Wishes
  readonly request?: Request
}

/** How a row's values are written: JSON elements, a blob, or JSON elements in brackets of their own. */
const FLAT = 0
const BLOB = 1
const NESTED = 2

/** One row: one part an input, in the caller's order; cut out of the body only when asked for. */
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

/** The rows of inputs that agree on dimension 0; nothing where they do not. */
export function rowsOf(
  common: Digest,
  body: Uint8Array,
  inputs: readonly Input[],
): { rows: readonly Row[]; batch: Digest } | undefined {
  const n = inputs[0]?.shape[0] ?? 0
  if (n === 0 || n > MAX_ROWS || !inputs.every(({ tensor, shape }) => tensor?.rows && shape[0] === n))
    return undefined
  const prefix = new Preimage().latin1(common).text('row').number(inputs.length)
  for (const { name, datatype, shape, rest } of inputs) {
    putAll(prefix.latin1(name).latin1(datatype).text(shape.slice(1).join()), rest)
  }
  const digest = prefix.digest()
  const hasher = new SpanHasher(digest)
  const tensors = inputs.map((input) => input.tensor as Tensor)
  const rows = Array.from({ length: n }, (_, row) => {
    // Their lengths follow from datatype and shape, or stand in front of each string: no separator is needed.
    hasher.begin()
    for (const { values, rows: starts } of tensors) {
      hasher.add(values, starts?.[row] as number, starts?.[row + 1] as number)
    }
    return new TensorRow(hasher.digest(), body, inputs, row)
  })
  const batch = new Preimage().latin1(digest)
  for (const { tensor } of inputs) batch.number(tensor?.lexemes ? (tensor.nested ? NESTED : FLAT) : BLOB)
  return { rows, batch: batch.digest() }
}

/** The caller's request with other rows in its tensors; all else stays as the caller wrote it. */
export function joinRows(plan: Plan, rows: readonly Row[], body: WholeBody): Joined {
  const { request } = plan.common as Notes
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
  if (blobs.length === 0) return { headers: [], body: json }
  return { headers: [HEADER_LENGTH, String(json.length)], body: Buffer.concat([json, ...blobs]) }
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

/**
 * An answer's rows. The frame holds all that is not a row's own: names, datatypes, trailing shapes, parameters,
 * the model's version; not the `id`, and not whether values were JSON or binary, which each slice says itself.
 */
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
  const frame = pack([pack(answer.members.map((member) => member.text)), ...answer.outputs.map(outputFrame)])
  return Array.from({ length: count }, (_, row) => ({
    frame,
    slice: pack(columns.map((parts) => parts[row] as Uint8Array)),
  }))
}

/** Whether there are outputs, among them all that were asked for by name. */
export function hasAll(outputs: readonly { readonly name: string }[], plan?: Plan): boolean {
  const names = new Set(outputs.map((output) => output.name))
  const listed = plan ? (plan.common as Notes).wishes.listed.keys() : []
  return names.size > 0 && [...listed].every((name) => names.has(name))
}

/** Two answers to one row, of whichever requests; JSON and binary tensors are not compared with each other. */
export function answersAgree(a: RowAnswer, b: RowAnswer): boolean {
  if (Buffer.compare(a.frame, b.frame) !== 0) return false
  const datatypes = (unpack(a.frame) ?? []).slice(1).map((output) => String(unpack(output)?.[1] ?? ''))
  const [left, right] = [unpack(a.slice) ?? [], unpack(b.slice) ?? []]
  if (left.length !== right.length) return false
  return left.every((part, i) => {
    const other = right[i] as Uint8Array
    if (part[0] !== other[0]) return false
    const [values, others] = [part.subarray(1), other.subarray(1)]
    return part[0] === BLOB ? blobsAgree(values, others, datatypes[i] ?? '') : textsAgree(values, others)
  })
}

function outputFrame({ name, datatype, shape, members, parameters }: Output): Buffer {
  return pack([
    Buffer.from(name, 'latin1'),
    Buffer.from(datatype, 'latin1'),
    Buffer.from(shape.slice(1).join()),
    pack(members.map(({ key, text }) => (key === 'shape' ? SHAPE : text))),
    pack(parameters.map(({ text }) => text)),
  ])
}

/** Stands where the shape goes: it is the only member without a name of its own. */
const SHAPE = new Uint8Array(0)

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

/** One answer from rows in order, in the caller's encoding; undefined where they are not rows of like answers. */
export function assembleRows(plan: Plan, answers: readonly RowAnswer[]): Reply | undefined {
  const frame = answers[0]?.frame
  if (
    !frame ||
    !answers.every((answer) => answer.frame === frame || Buffer.compare(answer.frame, frame) === 0)
  ) {
    return undefined
  }
  const { wishes } = plan.common as Notes
  const [members, ...outputs] = unpack(frame) ?? []
  const rows = answers.map((answer) => unpack(answer.slice) ?? [])
  if (!members || !rows.every((row) => row.length === outputs.length)) return undefined
  const texts: Uint8Array[] = []
  const blobs: Uint8Array[] = []
  const encodings: { name: string }[] = []
  for (const [i, output] of outputs.entries()) {
    const parts = rows.map((row) => row[i] as Uint8Array)
    const encoded = assembleOutput(output, parts, wishes)
    if (!encoded) return undefined
    encodings.push(encoded)
    texts.push(encoded.text)
    if (encoded.blob) blobs.push(encoded.blob)
  }
  if (!hasAll(encodings, plan)) return undefined
  const reply = { status: 200, headers: [] }
  return writeAnswer(reply, {
    members: (unpack(members) ?? []).map((text) => ({ text })),
    texts,
    blobs,
    id: wishes.id,
  })
}

function assembleOutput(
  frame: Uint8Array,
  parts: readonly Uint8Array[],
  wishes: Wishes,
): { name: string; text: Uint8Array; blob?: Uint8Array } | undefined {
  const [name, datatype, trailing, members, parameters] = (unpack(frame) ?? []).map((bytes) =>
    Buffer.from(bytes),
  )
  if (!name || !datatype || !trailing || !members || !parameters) return undefined
  const shape = trailing.length === 0 ? [] : trailing.toString().split(',').map(Number)
  const shapeMember = Buffer.concat([Buffer.from('"shape":'), shapeText(parts.length, [0, ...shape])])
  const named = (texts: Buffer) => (unpack(texts) ?? []).map((text) => ({ key: '', value: text, text }))
  const output = {
    members: named(members).map((member) =>
      member.text.length > 0 ? member : { ...member, text: shapeMember },
    ),
    parameters: named(parameters),
  }
  const type = { datatype: datatype.toString('latin1'), shape }
  const key = name.toString('latin1')
  const values = wantsBinary(wishes, key) ? blobOf(parts, type) : elementsText(parts, type.datatype)
  if (!values) return undefined
  const encoded = wantsBinary(wishes, key) ? encodeBinary(output, values) : encodeJson(output, values)
  return { name: key, ...encoded }
}

/** The values of all rows as one blob. */
function blobOf(
  parts: readonly Uint8Array[],
  type: { datatype: string; shape: number[] },
): Buffer | undefined {
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

/** A slice may come from a shared cache: it is walked over before its grammar is trusted. */
function decodeElements(
  text: Uint8Array,
  type: { datatype: string; shape: number[] },
): Uint8Array | undefined {
  const cursor = new Cursor(text)
  const span = cursor.value()
  return span && cursor.finish() ? decodeJson(text, span, type)?.values : undefined
}

/** The values of all rows as JSON elements; undefined for flat and nested ones together. */
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
