/**
 * Reads ClassificationRequest, RegressionRequest and MultiInferenceRequest (classification.proto, regression.proto,
 * inference.proto). The rows of the first two are their examples. A MultiInference is one row, the whole call: its answer has
 * the results by task, and who asks for many at once rarely asks for one of them again.
 */
import type { Digest } from '../../../core/key.ts'
import { MAX_ROWS } from '../../json/rows.ts'
import { Preimage } from '../../preimage.ts'
import type { FieldReader, MessageSource } from '../../protobuf/source.ts'
import { MessageWriter } from '../../protobuf/writer.ts'
import type { Joined, Plan, Reading, ReadOptions, Row } from '../../protocol.ts'
import { RowPlan } from '../../row-plan.ts'
import { BypassReason, needBytes, OtherFields, once, textOf } from './fields.ts'
import { type ExampleInput, readInput, writeInput } from './input.ts'
import { joined, type ServingNotes } from './notes.ts'
import { putModel } from './predict.ts'
import { type RequestedModel, readSpec } from './spec.ts'

interface ExampleNotes extends ServingNotes {
  readonly input: ExampleInput
  /** All fields but the input, as they are written. */
  readonly around: readonly Uint8Array[]
}

/** Classify and Regress, whose requests have the same fields. `prefix`: of what is in every key. */
export function* readExamples(
  source: MessageSource,
  prefix: Digest,
  { verb, options, isEncoded }: Pick<ExampleNotes, 'verb' | 'isEncoded'> & { readonly options: ReadOptions },
): Generator<void, Reading> {
  const others = new OtherFields()
  const around: Uint8Array[] = []
  let model: RequestedModel | undefined
  let input: ExampleInput | undefined
  const fields = source.fields()
  for (let from = fields.at; fields.next(); from = fields.at) {
    if (fields.field === 2) {
      once(input !== undefined)
      input = yield* readInput(source, needBytes(fields).message())
      continue
    }
    if (fields.field === 1) {
      once(model !== undefined)
      model = readSpec(source, needBytes(fields).message())
    } else others.add(source, fields, from)
    if (source.isWhole) around.push(source.slice(from, fields.at))
  }
  if (!model) throw new BypassReason('no-model')
  if (!input) throw new BypassReason('no-inputs')
  const common = putModel(new Preimage().latin1(prefix), model).bytes(others.join())
  const ofInput = putAround(common, input).digest()
  return planOf(ofInput, { verb, isEncoded, input, around, count: input.digests.length }, options)
}

function planOf(common: Digest, notes: ExampleNotes, { split, onlyBatches }: ReadOptions): Reading {
  const { digests, examples } = notes.input
  const whole = () => putExamples(new Preimage().latin1(common).text('whole'), digests).digest()
  const isSplit = split && examples.length >= (onlyBatches === true ? 2 : 1) && examples.length <= MAX_ROWS
  if (!isSplit) return { whole: whole(), common: notes }
  const prefix = new Preimage().latin1(common).text('row').digest()
  const rows = examples.map((wire, i): Row => {
    return {
      wire,
      digest: new Preimage()
        .latin1(prefix)
        .latin1(digests[i] as Digest)
        .digest(),
    }
  })
  return new RowPlan(rows, { whole, batch: () => prefix, common: notes })
}

/** What an input says besides its examples. A context is part of each. */
function putAround(preimage: Preimage, { kind, context, others }: ExampleInput): Preimage {
  return preimage
    .number(kind)
    .latin1(context ?? '')
    .bytes(others[0])
    .bytes(others[1])
}

function putExamples(preimage: Preimage, digests: readonly Digest[]): Preimage {
  preimage.number(digests.length)
  for (const digest of digests) preimage.latin1(digest)
  return preimage
}

export function* readMultiInference(
  source: MessageSource,
  prefix: Digest,
  { isEncoded }: Pick<ServingNotes, 'isEncoded'>,
): Generator<void, Reading> {
  const others = new OtherFields()
  const tasks = new Preimage().latin1(prefix)
  let count = 0
  let input: ExampleInput | undefined
  const fields = source.fields()
  for (let from = fields.at; fields.next(); from = fields.at) {
    if (fields.field === 1) {
      putTask(tasks, source, needBytes(fields).message())
      count++
    } else if (fields.field === 2) {
      once(input !== undefined)
      input = yield* readInput(source, needBytes(fields).message())
    } else others.add(source, fields, from)
  }
  if (!input || count === 0) throw new BypassReason('no-inputs')
  const common = new Preimage().latin1(tasks.digest()).number(count).bytes(others.join())
  const whole = putExamples(putAround(common, input), input.digests)
  return {
    whole: whole.digest(),
    common: { verb: 'multi-inference', isEncoded, count } satisfies ServingNotes,
  }
}

/** Results have the order of the tasks. */
function putTask(preimage: Preimage, source: MessageSource, fields: FieldReader): void {
  const others = new OtherFields()
  let model: RequestedModel | undefined
  let method = ''
  for (let from = fields.at; fields.next(); from = fields.at) {
    if (fields.field === 1) {
      once(model !== undefined)
      model = readSpec(source, needBytes(fields).message())
    } else if (fields.field === 2) method = textOf(fields)
    else others.add(source, fields, from)
  }
  if (!model) throw new BypassReason('no-model')
  putModel(preimage.text('task'), model).text(method).bytes(others.join())
}

/** Writes the caller's request with other examples. */
export function joinExamples(plan: Plan, rows: readonly Row[]): Joined {
  const notes = plan.common as ExampleNotes
  const message = new MessageWriter()
  for (const field of notes.around) message.raw(field)
  message.message(
    2,
    writeInput(
      notes.input,
      rows.map(({ wire }) => wire),
    ),
  )
  return joined(message, notes)
}
