/**
 * `tensorflow.serving.ModelSpec`, with which every call names its model: the first field of each request, and of each task of a
 * MultiInference.
 */
import { type Chunks, JOINED_BYTES } from '../../../core/chunks.ts'
import { runToEnd } from '../../../lib/cooperative.ts'
import { hasOneMessage, onlyMessage, PREFIX_BYTES } from '../../grpc/message.ts'
import { BYTES, VARINT } from '../../protobuf/reader.ts'
import { ChunkSource, type FieldReader, type MessageSource, WholeSource } from '../../protobuf/source.ts'
import type { NamedModel } from '../../protocol.ts'
import { BypassReason, bypassOf, NOTHING, needBytes, needWire, OtherFields, once, textOf } from './fields.ts'

export interface RequestedModel {
  readonly name: string
  /** A number, or a label behind `labels/`; undefined: the newest. */
  readonly version: string | undefined
  readonly signature: string
  /** Fields that are not known. */
  readonly others: Uint8Array
}

/** What a signature is called where none is named. */
const DEFAULT_SIGNATURE = 'serving_default'

export function readSpec(source: MessageSource, fields: FieldReader): RequestedModel {
  const others = new OtherFields()
  let name = ''
  let version: string | undefined
  let isNumbered = false
  let signature = ''
  for (let from = fields.at; fields.next(); from = fields.at) {
    const { field } = fields
    if (field === 1) name = textOf(fields)
    else if (field === 2) {
      once(isNumbered)
      isNumbered = true
      version = String(readInt64(needBytes(fields).message()))
    } else if (field === 3) signature = textOf(fields)
    // Version and label exclude each other: the one that comes last counts.
    else if (field === 4) version = `labels/${textOf(fields)}`
    else others.add(source, fields, from)
  }
  return { name, version, signature: signature || DEFAULT_SIGNATURE, others: others.join() }
}

/** `google.protobuf.Int64Value` */
function readInt64(fields: FieldReader): bigint {
  let value = 0n
  while (fields.next()) {
    if (fields.field !== 1) throw new BypassReason('version')
    value = needWire(fields, VARINT).int64
  }
  return value
}

/** The version in the ModelSpec that an answer has beside its results; undefined: it has none. */
export function statedVersion(message: Uint8Array): string | undefined {
  const source = new WholeSource(message)
  const fields = source.fields()
  while (fields.next()) if (fields.field === 2) return readSpec(source, needBytes(fields).message()).version
  return undefined
}

/** The model that a body names; a compressed one is read by the first bytes of its coding, as nothing else is known of it. */
export function namedModel(body: Uint8Array): NamedModel | undefined {
  const isGzip = body[PREFIX_BYTES] === 0x1f && body[PREFIX_BYTES + 1] === 0x8b
  const message = onlyMessage(body, isGzip ? 'gzip' : 'deflate', JOINED_BYTES)
  return message instanceof Uint8Array ? runToEnd(modelSteps(new WholeSource(message))) : undefined
}

/** The same for a long body, which is not read if it is compressed. */
export function* namedModelSteps(body: Chunks): Generator<void, NamedModel | undefined> {
  return hasOneMessage(body) ? yield* modelSteps(new ChunkSource(body, PREFIX_BYTES)) : undefined
}

/** Longer names are no names. */
const MAX_SPEC_BYTES = 64 << 10
const FIELDS_A_STEP = 4096

/**
 * Every request begins with its ModelSpec, and a MultiInference with tasks that begin with theirs. What two parsers may read
 * differently names nothing: they must all be the same.
 */
function* modelSteps(source: MessageSource): Generator<void, NamedModel | undefined> {
  let named: NamedModel | undefined
  try {
    const fields = source.fields()
    for (let read = 1; fields.next(); read++) {
      if (read % FIELDS_A_STEP === 0) {
        yield
        source.resume()
      }
      if (fields.field !== 1 || fields.wire !== BYTES) continue
      if (fields.end - fields.start > MAX_SPEC_BYTES) return undefined
      const next = modelOf(fields.bytes())
      if (!next || (named && !isSame(named, next))) return undefined
      named = next
    }
    return named
  } catch (error) {
    if (bypassOf(error) !== undefined) return undefined
    throw error
  }
}

/** The model of a ModelSpec, or of a task, which begins with one. */
function modelOf(message: Uint8Array): NamedModel | undefined {
  const source = new WholeSource(message)
  let first = NOTHING
  for (const fields = source.fields(); fields.next(); )
    if (fields.field === 1) first = needBytes(fields).bytes()
  // No name has control characters, and the ModelSpec of a task has one: the tag before its name.
  const spec = hasControls(first) ? new WholeSource(first) : source
  const { name, version } = readSpec(spec, spec.fields())
  if (name === '' || hasControls(Buffer.from(name))) return undefined
  return { model: name, ...(version === undefined ? {} : { version }) }
}

function hasControls(text: Uint8Array): boolean {
  return text.some((byte) => byte < 0x20)
}

function isSame(a: NamedModel, b: NamedModel): boolean {
  return a.model === b.model && a.version === b.version
}
