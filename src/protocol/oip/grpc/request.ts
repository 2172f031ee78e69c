/**
 * Reads a `ModelInferRequest` by its meaning, so that it has the keys of the same request in JSON: the order of maps and
 * fields, packed and unpacked lists, typed and raw values, and defaults that are written or left out make no difference.
 */
import { type Digest, digestOf } from '../../../core/key.ts'
import { MalformedProtobuf } from '../../protobuf/reader.ts'
import type { Bypass } from '../../protocol.ts'
import {
  forbidding,
  type InferenceRequest,
  type NamedInput,
  type OutputPreferences,
  PARAMETER,
  type TensorInput,
  Uncacheable,
} from '../request.ts'
import { decodeBlob } from '../tensor.ts'
import { blobOfContents } from './contents.ts'
import { type InferMessage, readInferMessage, type TensorMessage } from './message.ts'
import { canonicalText, type Parameter, parameterDigest } from './parameters.ts'

/** A request, and the message that it was read from. */
export interface GrpcRequest<I = TensorInput & OutlinedInput> extends InferenceRequest<I> {
  readonly message: InferMessage
  /** The values are in `raw_input_contents`. */
  readonly isRaw: boolean
}

/** All of a request but its inputs' values. */
export type GrpcOutline = GrpcRequest<OutlinedInput>

export interface OutlinedInput extends NamedInput {
  readonly written: TensorMessage
}

/** Fields that are unknown here; no member and no parameter has such a name (see `PARAMETER`). */
const UNKNOWN = `${PARAMETER}${PARAMETER}unknown`
/** Unknown fields of the message of an input's values. */
const UNKNOWN_OF_VALUES = `${UNKNOWN} of values`

/** Reads the request in a message, or why it must not be cached. */
export function readGrpcRequest(message: Uint8Array, rows: boolean): GrpcRequest | Bypass {
  return orBypass(() => {
    const outline = outlineOf(readInferMessage(message))
    const { raw } = outline.message
    const inputs = outline.inputs.map((input, i) =>
      outline.isRaw ? inputOf(input, raw[i] as Uint8Array, rows) : typedInput(input, rows),
    )
    return { ...outline, inputs }
  })
}

/** What `read` returns, or why the request must not be cached. A malformed message is its backend's to refuse. */
export function orBypass<T>(read: () => T): T | Bypass {
  try {
    return read()
  } catch (error) {
    if (error instanceof Uncacheable) return { bypass: error.reason }
    if (error instanceof MalformedProtobuf) return { bypass: 'unparsable' }
    throw error
  }
}

/**
 * The request in a message, without its inputs' values; throws `Uncacheable`. `count`: how many raw values there are, if they
 * are not in the message.
 */
export function outlineOf(message: InferMessage, count = message.raw.length): GrpcOutline {
  const { parameters, unknown, inputs, outputs } = message
  const rest = restOf({ parameters, unknown }, (name, { value }) => {
    const reason = forbidding(name)
    if (reason !== undefined) throw new Uncacheable(reason)
    if (name !== 'sequence_id') return true
    if (value !== 0n && value !== '') throw new Uncacheable('sequence')
    return false
  })
  const isRaw = count > 0
  if (inputs.length === 0) throw new Uncacheable('no-inputs')
  if (hasTwins(inputs)) throw new Uncacheable('duplicate-input')
  if (hasTwins(outputs)) throw new Uncacheable('duplicate-output')
  if (isRaw && count !== inputs.length) throw new Uncacheable('blob-size')
  return {
    message,
    isRaw,
    rest,
    inputs: inputs.map((written) => outlinedInput(written, isRaw)),
    outputs: new Map(outputs.map((output) => [output.name, restOf(output, notInSharedMemory)])),
    preferences: preferencesOf(message, isRaw),
  }
}

function hasTwins(named: readonly { readonly name: string }[]): boolean {
  return new Set(named.map(({ name }) => name)).size < named.length
}

function outlinedInput(written: TensorMessage, isRaw: boolean): OutlinedInput {
  const { name, datatype, shape, contents } = written
  // Triton refuses both, and each server that does not has its own preference.
  if (isRaw && contents.length > 0) throw new Uncacheable('malformed-input')
  if (shape.some(Number.isNaN)) throw new Uncacheable('malformed-shape')
  return { name, datatype, shape, rest: restOf(written, notInSharedMemory), written }
}

/** How the caller wants its answer: raw where its request was raw, as the servers do that can do both. */
export function preferencesOf(
  { id, outputs }: Pick<InferMessage, 'id' | 'outputs'>,
  isRaw: boolean,
): OutputPreferences {
  return {
    listed: new Map(outputs.map(({ name }) => [name, isRaw])),
    hasList: outputs.length > 0,
    binary: isRaw,
    ...(id ? { id: Buffer.from(JSON.stringify(Buffer.from(id).toString('utf8'))) } : {}),
  }
}

/** The digests of all parameters that count, and of what is unknown, by name. */
function restOf(
  { parameters, unknown }: Pick<TensorMessage, 'parameters' | 'unknown'>,
  counts: (name: string, parameter: Parameter) => boolean,
): Map<string, Digest> {
  const rest = new Map<string, Digest>()
  for (const [name, parameter] of parameters)
    if (counts(name, parameter))
      rest.set(PARAMETER + canonicalText(Buffer.from(name)), parameterDigest(parameter))
  if (!unknown.isEmpty) rest.set(UNKNOWN, digestOf(unknown.bytes()))
  return rest
}

function notInSharedMemory(name: string): boolean {
  if (name.startsWith('shared_memory_')) throw new Uncacheable('shared-memory')
  return true
}

function inputOf(input: OutlinedInput, blob: Uint8Array, rows: boolean): TensorInput & OutlinedInput {
  const tensor = decodeBlob(blob, input, rows)
  if (!tensor) throw new Uncacheable('blob-size')
  return { ...input, tensor, values: digestOf(tensor.values) }
}

/** An input whose values are typed, with its values; throws `Uncacheable`. */
export function typedInput(input: OutlinedInput, rows: boolean): TensorInput & OutlinedInput {
  const contents = blobOfContents(input.written.contents, input)
  if (!contents) throw new Uncacheable('malformed-input')
  const read = inputOf(input, contents.blob, rows)
  if (contents.unknown.length === 0) return read
  const rest = new Map(read.rest)
  rest.set(UNKNOWN_OF_VALUES, digestOf(contents.unknown))
  return { ...read, rest }
}
