/** Reads gRPC calls for their keys and rows. */
import { type Call, header } from '../../../core/call.ts'
import { type Chunks, JOINED_BYTES } from '../../../core/chunks.ts'
import type { Digest } from '../../../core/key.ts'
import { isProtobuf } from '../../grpc/fields.ts'
import { onlyMessage } from '../../grpc/message.ts'
import type { AnswerPreferences, Bypass, Plan, Reading, ReadOptions } from '../../protocol.ts'
import { RAW_FORM, TYPED_FORM } from '../forms.ts'
import { commonPart, wholeKey } from '../keys.ts'
import type { OipNotes } from '../notes.ts'
import type { OutputPreferences, TensorInput } from '../request.ts'
import { rowsOf } from '../rows.ts'
import { grpcSteps } from './chunks.ts'
import { readInferMessage } from './message.ts'
import { type GrpcRequest, orBypass, preferencesOf, readGrpcRequest } from './request.ts'
import { INFER_PATH } from './target.ts'

export function readGrpcCall(call: Call, body: Uint8Array, { seed, split }: ReadOptions): Reading {
  const message = messageOf(call, body)
  if ('bypass' in message) return message
  const request = readGrpcRequest(message, split)
  if ('bypass' in request) return request
  const { common, plan } = planned(call, seed, request)
  const isCompressed = body[0] !== 0
  const notes: OipNotes = { preferences: request.preferences, grpc: { request, isCompressed } }
  const read = { ...plan, common: notes }
  return split ? { ...read, ...rowsOf(common, message, request.inputs) } : read
}

export function* readGrpcChunks(call: Call, body: Chunks, { seed }: ReadOptions): Generator<void, Reading> {
  const reason = unread(call)
  if (reason) return reason
  const request = yield* grpcSteps(body)
  return 'bypass' in request ? request : planned(call, seed, request).plan
}

/** How a caller wants its answer, read without its values; undefined: that cannot be read. */
export function preferencesOfCall({ headers, body }: AnswerPreferences): OutputPreferences | undefined {
  if (!(body instanceof Uint8Array)) return undefined
  const bytes = onlyMessage(body, header(headers, 'grpc-encoding'), JOINED_BYTES)
  if ('bypass' in bytes) return undefined
  const message = orBypass(() => readInferMessage(bytes))
  return 'bypass' in message ? undefined : preferencesOf(message, message.raw.length > 0)
}

function messageOf(call: Call, body: Uint8Array): Uint8Array | Bypass {
  return unread(call) ?? onlyMessage(body, header(call.headers, 'grpc-encoding'), JOINED_BYTES)
}

/** Why the body of a call is not read, if its head says so. */
function unread({ headers, path }: Call): Bypass | undefined {
  // At another path a server takes no gRPC, so its error is the answer.
  if (path !== INFER_PATH) return { bypass: 'content-type' }
  return isProtobuf(headers) ? undefined : { bypass: 'grpc-codec' }
}

function planned(
  { query }: Call,
  seed: Digest,
  request: GrpcRequest<TensorInput>,
): { readonly common: Digest; readonly plan: Plan } {
  const common = commonPart(seed, query, request)
  const form = request.isRaw ? RAW_FORM : TYPED_FORM
  const notes: OipNotes = { preferences: request.preferences }
  return { common, plan: { whole: wholeKey(common, request.inputs), form, common: notes } }
}
