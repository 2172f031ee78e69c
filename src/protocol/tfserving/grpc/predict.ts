/**
 * Reads `tensorflow.serving.PredictRequest` (predict.proto). Its rows are the slices of all inputs along dimension 0. A row goes
 * upstream in the form of the request that it is joined into, since the values are the same in each.
 */
import type { Digest } from '../../../core/key.ts'
import { MAX_ROWS } from '../../json/rows.ts'
import { pack, unpack } from '../../packed.ts'
import { Preimage, SpanHasher } from '../../preimage.ts'
import type { FieldReader, MessageSource } from '../../protobuf/source.ts'
import { MessageWriter } from '../../protobuf/writer.ts'
import type { Joined, Plan, Reading, ReadOptions, Row } from '../../protocol.ts'
import { RowPlan } from '../../row-plan.ts'
import { BypassReason, NOTHING, needBytes, OtherFields, once, textOf } from './fields.ts'
import { joined, type ServingNotes } from './notes.ts'
import { type RequestedModel, readSpec } from './spec.ts'
import { headOf, writeTensor } from './tensor.ts'
import { mapEntry, type NamedTensor, TensorMap } from './tensor-map.ts'
import { Padding, readValues, rowStarts, type TensorValues } from './values.ts'

interface PredictRequest {
  readonly model: RequestedModel
  readonly inputs: readonly NamedTensor[]
  /** Names of outputs, sorted: answers have them in a map. Empty: all. */
  readonly filter: readonly string[]
  readonly others: Uint8Array
  /** All fields but the inputs, as they are written. */
  readonly around: readonly Uint8Array[]
}

interface PredictNotes extends ServingNotes {
  readonly inputs: readonly NamedTensor[]
  readonly around: readonly Uint8Array[]
}

/** An input whose values were read. */
type ReadTensor = NamedTensor & { readonly values: TensorValues }

/** `prefix`: of what is in every key. */
export function* readPredict(
  source: MessageSource,
  prefix: Digest,
  { options, isEncoded }: { readonly options: ReadOptions; readonly isEncoded: boolean },
): Generator<void, Reading> {
  const request = readRequest(source)
  const padding = new Padding()
  const inputs: ReadTensor[] = []
  for (const { name, place } of request.inputs)
    inputs.push({ name, place, values: yield* readValues(source, place, padding) })
  const common = commonDigest(prefix, request)
  const notes: PredictNotes = { ...request, verb: 'predict', isEncoded }
  const whole = () => wholeDigest(common, inputs)
  const rows = options.split ? rowsOf(common, inputs, options.onlyBatches === true) : undefined
  return rows ? new RowPlan(rows.rows, { ...rows, whole, common: notes }) : { whole: whole(), common: notes }
}

const MAX_FILTER = 1024

function readRequest(source: MessageSource): PredictRequest {
  const others = new OtherFields()
  const around: Uint8Array[] = []
  const inputs = new TensorMap()
  const filter: string[] = []
  let model: RequestedModel | undefined
  let hasOptions = false
  const fields = source.fields()
  for (let from = fields.at; fields.next(); from = fields.at) {
    const { field } = fields
    if (field === 1) {
      once(model !== undefined)
      model = readSpec(source, needBytes(fields).message())
    } else if (field === 2) inputs.add(source, needBytes(fields).message())
    else if (field === 3) filter.push(textOf(fields))
    else if (field === 7) {
      once(hasOptions)
      hasOptions = true
      addOptions(others, source, needBytes(fields).message())
    } else if (field !== CLIENT_ID) others.add(source, fields, from)
    if (field !== 2 && source.isWhole) around.push(source.slice(from, fields.at))
    if (filter.length > MAX_FILTER) throw new BypassReason('many-fields')
  }
  if (!model) throw new BypassReason('no-model')
  return { model, inputs: inputs.sorted(), filter: filter.sort(), others: others.join(), around }
}

/**
 * Whom a call is for. By predict.proto it is there so that servers may place, cache and group calls, and TensorFlow Serving's
 * own code does not read it: no answer depends on it.
 */
const CLIENT_ID = 6
const OPTIONS_CLIENT_ID = 1

function addOptions(others: OtherFields, source: MessageSource, fields: FieldReader): void {
  const options = new OtherFields()
  for (let from = fields.at; fields.next(); from = fields.at)
    if (fields.field !== OPTIONS_CLIENT_ID) options.add(source, fields, from)
  const bytes = options.join()
  if (bytes.length > 0) others.put(7, new MessageWriter().bytes(7, bytes).join())
}

/** A digest of everything that an answer depends on besides the inputs. */
function commonDigest(prefix: Digest, { model, filter, others }: PredictRequest): Digest {
  const preimage = putModel(new Preimage().latin1(prefix), model).bytes(others).number(filter.length)
  for (const name of filter) preimage.text(name)
  return preimage.digest()
}

export function putModel(
  preimage: Preimage,
  { name, version = '', signature, others }: RequestedModel,
): Preimage {
  return preimage.text(name).text(version).text(signature).bytes(others)
}

function wholeDigest(common: Digest, inputs: readonly ReadTensor[]): Digest {
  const preimage = new Preimage().latin1(common).text('whole').number(inputs.length)
  for (const { name, place, values } of inputs)
    preimage.text(name).bytes(headOf(place).join()).latin1(values.digest())
  return preimage.digest()
}

/** The rows of inputs whose dimension 0 is equal; undefined if it is not. */
function rowsOf(
  common: Digest,
  inputs: readonly ReadTensor[],
  onlyBatches: boolean,
): { readonly rows: readonly Row[]; readonly batch: () => Digest } | undefined {
  const n = inputs[0]?.place.dims[0] ?? 0
  if (n < (onlyBatches ? 2 : 1) || n > MAX_ROWS || !inputs.every(({ place }) => place.dims[0] === n))
    return undefined
  const columns: RowColumn[] = []
  const prefix = new Preimage().latin1(common).text('row').number(inputs.length)
  for (const { name, place, values } of inputs) {
    const starts = values.bytes && rowStarts(place, n, values.bytes)
    if (!starts) return undefined
    columns.push({ values: values.bytes, starts })
    prefix.text(name).bytes(headOf(place, 0).join())
  }
  const digest = prefix.digest()
  const hasher = new SpanHasher(digest)
  const rows = Array.from({ length: n }, (_, row) => {
    // The length of each part follows from datatype and shape, or stands before each string, so no separator is needed.
    hasher.begin()
    for (const { values, starts } of columns)
      hasher.add(values, starts[row] as number, starts[row + 1] as number)
    return new PredictRow(hasher.digest(), columns, row)
  })
  return { rows, batch: () => digest }
}

interface RowColumn {
  readonly values: Uint8Array
  readonly starts: Uint32Array
}

/** One row: a part of each input, cut out only when it is read. */
class PredictRow implements Row {
  readonly digest: Digest
  readonly #columns: readonly RowColumn[]
  readonly #index: number

  constructor(digest: Digest, columns: readonly RowColumn[], index: number) {
    this.digest = digest
    this.#columns = columns
    this.#index = index
  }

  get wire(): Uint8Array {
    return pack(
      this.#columns.map(({ values, starts }) =>
        values.subarray(starts[this.#index], starts[this.#index + 1]),
      ),
    )
  }
}

/** Writes the caller's request with other rows in its inputs. */
export function joinPredict(plan: Plan, rows: readonly Row[]): Joined {
  const notes = plan.common as PredictNotes
  const wires = rows.map((row) => unpack(row.wire) ?? [])
  const message = new MessageWriter()
  for (const field of notes.around) message.raw(field)
  for (const [i, { name, place }] of notes.inputs.entries()) {
    const parts = wires.map((wire) => wire[i] ?? NOTHING)
    message.message(2, mapEntry(name, writeTensor(place, rows.length, parts)))
  }
  return joined(message, notes)
}
