/** `tensorflow.serving.Input` (input.proto): a list of examples, with a context that they share or without one. */
import { JOINED_BYTES } from '../../../core/chunks.ts'
import type { Digest } from '../../../core/key.ts'
import type { FieldReader, MessageSource } from '../../protobuf/source.ts'
import { MessageWriter } from '../../protobuf/writer.ts'
import { exampleDigest } from './example.ts'
import { BypassReason, NOTHING, needBytes, OtherFields, once } from './fields.ts'

export interface ExampleInput {
  /** The number of the field that has the list. */
  readonly kind: number
  /** Of each example, in order. */
  readonly digests: readonly Digest[]
  /** The examples as they are written; none of a body in pieces. */
  readonly examples: readonly Uint8Array[]
  readonly context: Digest | undefined
  /** Fields that are not known, of the input and of the list. */
  readonly others: readonly [Uint8Array, Uint8Array]
  /** The context as it is written. */
  readonly contextBytes: Uint8Array | undefined
}

/** `example_list` is before it. */
const EXAMPLE_LIST_WITH_CONTEXT = 2
const EXAMPLES_A_STEP = 256

/** Reads the input, with pauses. */
export function* readInput(source: MessageSource, fields: FieldReader): Generator<void, ExampleInput> {
  const others = new OtherFields()
  let list: Omit<ExampleInput, 'kind'> | undefined
  let kind = 0
  for (let from = fields.at; fields.next(); from = fields.at) {
    if (fields.field > EXAMPLE_LIST_WITH_CONTEXT) {
      others.add(source, fields, from)
      continue
    }
    once(kind !== 0)
    kind = fields.field
    list = yield* readList(source, needBytes(fields).message(), kind === EXAMPLE_LIST_WITH_CONTEXT)
  }
  if (!list) throw new BypassReason('no-inputs')
  return { ...list, kind, others: [others.join(), list.others[1]] }
}

function* readList(
  source: MessageSource,
  fields: FieldReader,
  hasContext: boolean,
): Generator<void, Omit<ExampleInput, 'kind'>> {
  const others = new OtherFields()
  const digests: Digest[] = []
  const examples: Uint8Array[] = []
  let contextBytes: Uint8Array | undefined
  for (let from = fields.at; fields.next(); from = fields.at) {
    if (fields.field === 1) {
      const example = exampleBytes(fields)
      digests.push(exampleDigest(example))
      if (source.isWhole) examples.push(example)
      if (digests.length % EXAMPLES_A_STEP === 0) {
        yield
        source.resume()
      }
    } else if (fields.field === 2 && hasContext) {
      once(contextBytes !== undefined)
      contextBytes = exampleBytes(fields)
    } else others.add(source, fields, from)
  }
  const context = contextBytes && exampleDigest(contextBytes)
  return { digests, examples, context, contextBytes, others: [NOTHING, others.join()] }
}

function exampleBytes(fields: FieldReader): Uint8Array {
  if (fields.end - fields.start > JOINED_BYTES) throw new BypassReason('long-field')
  return needBytes(fields).bytes()
}

/** The input with other examples. */
export function writeInput(
  { kind, others, contextBytes }: ExampleInput,
  examples: readonly Uint8Array[],
): MessageWriter {
  const list = new MessageWriter()
  for (const example of examples) list.bytes(1, example)
  if (contextBytes) list.bytes(2, contextBytes)
  return new MessageWriter().message(kind, list.raw(others[1])).raw(others[0])
}
