/** Reads a long `ModelInferRequest` in steps, from the pieces it came in; its raw values are digested, and never joined. */
import { type Chunks, JOINED_BYTES } from '../../../core/chunks.ts'
import { PREFIX_BYTES } from '../../grpc/message.ts'
import type { Stretch } from '../../json/span.ts'
import { BYTES, MalformedProtobuf, MessageReader } from '../../protobuf/reader.ts'
import type { Bypass } from '../../protocol.ts'
import type { TensorInput } from '../request.ts'
import { blobSteps } from '../steps.ts'
import { FieldBudget } from './fields.ts'
import { RAW_INPUTS, readInferMessage } from './message.ts'
import { type GrpcRequest, orBypass, outlineOf, typedInput } from './request.ts'

/** A tag and a length, or a tag and a number. */
const HEAD_BYTES = 20
/** The longest field that is no string, message or list: groups, which nobody writes any more. */
const MAX_OTHER_BYTES = 64 << 10
/** How many fields are looked at without a pause. */
export const FIELDS_PER_STEP = 1024

export interface PlacedField {
  readonly field: number
  readonly wire: number
  /** Where its tag begins, and the bounds of its value. */
  readonly begin: number
  readonly start: number
  readonly end: number
}

/** The field whose tag is at `at`. */
function fieldAt(body: Chunks, at: number): PlacedField {
  const head = new MessageReader(body.slice(at, Math.min(at + HEAD_BYTES, body.length)))
  head.number()
  const [tag, isLong] = [head.low, head.high !== 0]
  if (isLong || (tag & 7) !== BYTES || tag < 8) return otherField(body, at)
  const isMeasured = head.number()
  const start = at + head.at
  const end = start + head.low
  if (!isMeasured || head.high !== 0 || end > body.length)
    throw new MalformedProtobuf('a value is longer than its message')
  return { field: tag >>> 3, wire: BYTES, begin: at, start, end }
}

function otherField(body: Chunks, at: number): PlacedField {
  const reader = new MessageReader(body.slice(at, Math.min(at + MAX_OTHER_BYTES, body.length)))
  reader.next()
  return { field: reader.field, wire: reader.wire, begin: at, start: at + reader.start, end: at + reader.at }
}

/** The outermost fields of the message in a body. */
export function* fieldsOf(body: Chunks): Generator<PlacedField, void> {
  for (let at = PREFIX_BYTES; at < body.length; ) {
    const field = fieldAt(body, at)
    yield field
    at = field.end
  }
}

/** Why the message in a long body is not read; undefined: it is one uncompressed message. */
export function unreadable(body: Chunks): Bypass | undefined {
  if (body.length < PREFIX_BYTES) return { bypass: 'grpc-message' }
  const prefix = Buffer.from(body.slice(0, PREFIX_BYTES))
  if (prefix.readUInt32BE(1) !== body.length - PREFIX_BYTES) return { bypass: 'grpc-message' }
  if (prefix[0] === 0) return undefined
  return { bypass: prefix[0] === 1 ? 'grpc-compression' : 'grpc-message' }
}

/** All of a long message but its raw values. */
interface MessageSkeleton {
  readonly bytes: Uint8Array
  readonly raw: readonly Stretch[]
}

function* skeletonOf(body: Chunks): Generator<void, MessageSkeleton | Bypass> {
  const parts: Uint8Array[] = []
  const raw: Stretch[] = []
  let [length, seen] = [0, 0]
  const budget = new FieldBudget()
  const fields = fieldsOf(body)
  for (;;) {
    const next = orBypass(() => {
      const step = fields.next()
      if (step.done !== true) budget.take()
      return step
    })
    if ('bypass' in next) return next
    if (next.done) return { bytes: Buffer.concat(parts), raw }
    const { field, wire, begin, end } = next.value
    if (field === RAW_INPUTS && wire === BYTES) raw.push(next.value)
    else {
      length += end - begin
      // It is read in one go.
      if (length > JOINED_BYTES) return { bypass: 'long-contents' }
      parts.push(body.slice(begin, end))
    }
    if (++seen % FIELDS_PER_STEP === 0) yield
  }
}

/** Reads the request in a long body, or why it must not be cached. */
export function* grpcSteps(body: Chunks): Generator<void, GrpcRequest<TensorInput> | Bypass> {
  const reason = unreadable(body)
  if (reason) return reason
  const skeleton = yield* skeletonOf(body)
  if ('bypass' in skeleton) return skeleton
  const { bytes, raw } = skeleton
  const outline = orBypass(() => outlineOf(readInferMessage(bytes), raw.length))
  if ('bypass' in outline) return outline
  const inputs: TensorInput[] = []
  for (const [i, input] of outline.inputs.entries()) {
    const read = outline.isRaw
      ? yield* blobSteps(body, { ...input, place: raw[i] as Stretch })
      : orBypass(() => typedInput(input, false))
    if ('bypass' in read) return read
    inputs.push({ ...input, ...read })
    yield
  }
  return { ...outline, inputs }
}
