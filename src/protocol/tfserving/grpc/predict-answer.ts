/**
 * Cuts `tensorflow.serving.PredictResponse` (predict.proto) into rows, and assembles it from rows. A row holds values alone; its
 * frame says in which fields the server writes them, so that each caller gets what the server gives.
 */
import type { Reply } from '../../../core/reply.ts'
import { runToEnd } from '../../../lib/cooperative.ts'
import { blobDifference, blobsAgree } from '../../agree.ts'
import { type Difference, Differences } from '../../difference.ts'
import { pack, unpack } from '../../packed.ts'
import { type MessageSource, WholeSource } from '../../protobuf/source.ts'
import { MessageWriter } from '../../protobuf/writer.ts'
import type { RowAnswer } from '../../protocol.ts'
import { needBytes, OtherFields } from './fields.ts'
import { commonFrameOf, PREDICT_FRAME, partsOf } from './frames.ts'
import { messageReply } from './reply.ts'
import { headOf, locateTensor, type TensorPlace, writeTensor } from './tensor.ts'
import { mapEntry, type NamedTensor, TensorMap } from './tensor-map.ts'
import { Padding, readValues, rowStarts } from './values.ts'

interface PredictAnswer {
  readonly outputs: readonly NamedTensor[]
  /** All other fields: the ModelSpec, with the version that has answered. */
  readonly others: Uint8Array
}

function readAnswer(source: MessageSource): PredictAnswer {
  const outputs = new TensorMap()
  const others = new OtherFields()
  const fields = source.fields()
  for (let from = fields.at; fields.next(); from = fields.at) {
    if (fields.field === 1) outputs.add(source, needBytes(fields).message())
    else others.add(source, fields, from)
  }
  return { outputs: outputs.sorted(), others: others.join() }
}

/** Whether the answer has the outputs that were asked for, and any if all were. */
export function isWholePredict(message: Uint8Array, wanted: readonly string[]): boolean {
  return hasAll(readAnswer(new WholeSource(message)).outputs, wanted)
}

/** `wanted`: the names of outputs that were asked for, sorted; none: all. */
function hasAll(outputs: readonly NamedTensor[], wanted: readonly string[]): boolean {
  if (wanted.length === 0) return outputs.length > 0
  return wanted.length === outputs.length && outputs.every(({ name }, i) => name === wanted[i])
}

const CONTENT = 1

export function cutPredict(
  message: Uint8Array,
  count: number,
  wanted: readonly string[],
): readonly RowAnswer[] | undefined {
  const source = new WholeSource(message)
  const { outputs, others } = readAnswer(source)
  if (!hasAll(outputs, wanted)) return undefined
  const padding = new Padding()
  const columns: { readonly values: Uint8Array; readonly starts: Uint32Array }[] = []
  for (const { place } of outputs) {
    const values = place.dims[0] === count ? runToEnd(readValues(source, place, padding)).bytes : undefined
    const starts = values && rowStarts(place, count, values)
    if (!starts) return undefined
    columns.push({ values, starts })
  }
  const frame = frameOf(outputs, others)
  return Array.from({ length: count }, (_, row) => ({
    frame,
    slice: pack(columns.map(({ values, starts }) => values.subarray(starts[row], starts[row + 1]))),
  }))
}

function frameOf(outputs: readonly NamedTensor[], others: Uint8Array): Buffer {
  const forms = Buffer.from(outputs.map(({ place }) => (place.isContent ? CONTENT : 0)))
  const heads = outputs.flatMap(({ name, place }) => [Buffer.from(name), headOf(place, 0).join()])
  return pack([PREDICT_FRAME, forms, others, ...heads])
}

interface PredictFrame {
  readonly outputs: readonly NamedTensor[]
  readonly others: Uint8Array
}

/** Throws if a tensor's head is none. */
function readFrame(frame: Uint8Array): PredictFrame | undefined {
  const [forms, others, ...heads] = partsOf(frame, PREDICT_FRAME) ?? []
  if (!forms || !others || heads.length !== forms.length * 2) return undefined
  const outputs = [...forms].map((form, i) => ({
    name: Buffer.from(heads[i * 2] as Uint8Array).toString('utf8'),
    place: { ...headRead(heads[i * 2 + 1] as Uint8Array), isContent: form === CONTENT },
  }))
  return { outputs, others }
}

function headRead(head: Uint8Array): TensorPlace {
  const source = new WholeSource(head)
  return locateTensor(source, source.fields())
}

/** Whether rows with these frames may be in one answer: in which fields values are written does not matter. */
function areSameFrames(a: Uint8Array, b: Uint8Array): boolean {
  if (Buffer.compare(a, b) === 0) return true
  const [left, right] = [partsOf(a, PREDICT_FRAME), partsOf(b, PREDICT_FRAME)]
  if (!left || left.length !== right?.length) return false
  return left.every((part, i) => i === 0 || Buffer.compare(part, right[i] as Uint8Array) === 0)
}

export function assemblePredict(answers: readonly RowAnswer[]): Reply | undefined {
  const common = commonFrameOf(answers, areSameFrames)
  const frame = common && readFrame(common)
  if (!frame) return undefined
  const rows = answers.map(({ slice }) => unpack(slice) ?? [])
  if (!rows.every((row) => row.length === frame.outputs.length)) return undefined
  const message = new MessageWriter()
  for (const [i, { name, place }] of frame.outputs.entries()) {
    const parts = rows.map((row) => row[i] as Uint8Array)
    if (!parts.every((part) => rowStarts(place, 1, part))) return undefined
    message.message(1, mapEntry(name, writeTensor(place, rows.length, parts)))
  }
  return messageReply(message.raw(frame.others))
}

/** By the names that `blobsAgree` has for floats; a complex number is two. */
const FLOAT_NAMES: ReadonlyMap<number, string> = new Map([
  [1, 'FP32'],
  [2, 'FP64'],
  [8, 'FP32'],
  [18, 'FP64'],
])

export function predictsAgree(a: RowAnswer, b: RowAnswer): boolean {
  const frame = areSameFrames(a.frame, b.frame) ? readFrame(a.frame) : undefined
  const [left, right] = [unpack(a.slice) ?? [], unpack(b.slice) ?? []]
  if (!frame || left.length !== frame.outputs.length || right.length !== left.length) return false
  return frame.outputs.every(({ place }, i) =>
    blobsAgree(left[i] as Uint8Array, right[i] as Uint8Array, FLOAT_NAMES.get(place.dtype) ?? ''),
  )
}

/** How two answers differ in their tensors; the version that has answered is not compared. Throws if one cannot be read. */
export function comparePredict(a: Uint8Array, b: Uint8Array): Difference | undefined {
  const [left, right] = [new WholeSource(a), new WholeSource(b)]
  const found = new Differences()
  const others = new Map(readAnswer(right).outputs.map(({ name, place }) => [name, place]))
  for (const { name, place } of readAnswer(left).outputs) {
    const other = others.get(name)
    others.delete(name)
    if (other && other.dtype === place.dtype && other.dims.join() === place.dims.join())
      compareTensors(name, [left, place], [right, other], found)
    else found.add(name, undefined, { what: 'shape' })
  }
  for (const name of others.keys()) found.add(name, undefined, { what: 'shape' })
  return found.found
}

type TensorOf = readonly [source: WholeSource, place: TensorPlace]

function compareTensors(name: string, one: TensorOf, two: TensorOf, found: Differences): void {
  const [, place] = one
  const type = FLOAT_NAMES.get(place.dtype) ?? ''
  const [left, right] = [valuesOf(one), valuesOf(two)]
  const rows = place.dims[0] ?? 1
  const starts = rowStarts(place, rows, left)
  if (!starts || place.type.size === 0 || left.length !== right.length)
    return found.add(name, undefined, blobDifference(left, right, type))
  for (let row = 0; row < rows; row++) {
    const [start, end] = [starts[row], starts[row + 1]]
    found.add(name, row, blobDifference(left.subarray(start, end), right.subarray(start, end), type))
  }
}

function valuesOf([source, place]: TensorOf): Uint8Array {
  return runToEnd(readValues(source, place, new Padding())).bytes ?? new Uint8Array(0)
}
