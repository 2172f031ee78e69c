/**
 * The dialect of the Open Inference Protocol (KServe V2), which Triton, KServe, MLServer and others serve over HTTP and gRPC.
 * Tensors are keyed by value, so JSON, binary and gRPC requests for the same tensors share one entry, and an FP32 `1` is equal
 * to `1.0`.
 */
import { header, type WholeBody } from '../../core/call.ts'
import type { Chunks } from '../../core/chunks.ts'
import { type Digest, digestOf, digestSteps } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import { GRPC_TYPE, isGrpc } from '../grpc/fields.ts'
import { statusOf } from '../grpc/status.ts'
import { grpcVerdict } from '../grpc/verdict.ts'
import { errorReply } from '../json/reply.ts'
import { Preimage } from '../preimage.ts'
import type {
  AnswerOrigin,
  AnswerPreferences,
  Bypass,
  Plan,
  Protocol,
  Reading,
  ReadOptions,
} from '../protocol.ts'
import { verdictOfStatus } from '../verdict.ts'
import { addressed } from './answer.ts'
import { assembleRows } from './assemble.ts'
import { HEADER_LENGTH, jsonLength } from './body-fields.ts'
import { compareAnswers } from './compare.ts'
import { BLOB_FORM, formOf, formShown, givesRaw, isUniform, RAW_FORM, TYPED_FORM } from './forms.ts'
import { translatedError } from './grpc/errors.ts'
import { namedModel, namedModelSteps } from './grpc/model.ts'
import { preferencesOfCall, readGrpcCall, readGrpcChunks } from './grpc/read.ts'
import { grpcTarget } from './grpc/target.ts'
import { grpcAddressed } from './grpc/write-answer.ts'
import { commonPart, wholeKey } from './keys.ts'
import { hasAll, type OipNotes } from './notes.ts'
import { readAnswer } from './read-answer.ts'
import { type OipRequest, type OutputPreferences, readRequest } from './request.ts'
import { answersAgree, cutAnswer, joinRows, rowsOf } from './rows.ts'
import { requestSteps } from './steps.ts'
import { oipTarget } from './target.ts'
import { translate } from './translate/translate.ts'
import { statedVersion } from './version.ts'

export const oip: Protocol = {
  name: 'oip',
  encodings: ['application/json', 'application/octet-stream', GRPC_TYPE, `${GRPC_TYPE}+proto`],
  readsHeaderLength: true,
  match: (method, path) => oipTarget(method, path) ?? grpcTarget(method, path),
  model: namedModel,
  modelChunks: namedModelSteps,
  read: (call, body, options) => (isGrpc(call.headers) ? readGrpcCall : readInference)(call, body, options),
  readChunks: (call, body, options) =>
    (isGrpc(call.headers) ? readGrpcChunks : readInferenceChunks)(call, body, options),
  address,
  storable,
  shows(reply, body, { form = 0 }) {
    const answer = readAnswer(reply, body)
    return answer ? formShown(form, answer) : 0
  },
  answerFields: ['grpc-status', 'grpc-message', 'grpc-status-details-bin'],
  // An answer to one request comes in one message; the others are passed on as they come.
  isStream: ({ headers }) => (isGrpc(headers) ? false : undefined),
  verdict: (reply) => (isGrpc(reply.headers) ? grpcVerdict(reply) : verdictOfStatus(reply.status)),
  compare: compareAnswers,
  version: (reply, body) =>
    isGrpc(reply.headers)
      ? namedModel(body)?.version
      : statedVersion(body.subarray(0, jsonLength(reply.headers, body))),
  translate: (call, body, supports) => translate(call, body, { supports, address }),
  fault: errorReply,
  rows: { join: joinRows, cut: cutAnswer, agree: answersAgree, assemble: assembleRows },
}

/**
 * Same form or not: an answer that is kept from JSON is given to callers of gRPC, and the other way round; so is an error that
 * calls of both have waited for.
 */
function address(
  reply: Reply,
  call: AnswerPreferences,
  plan?: Plan,
  { form, asItCame = false, shown = 0 }: AnswerOrigin = {},
): Reply | undefined {
  if (!(reply.body instanceof Uint8Array)) return reply
  const [wanted, given] = [isGrpc(call.headers), isGrpc(reply.headers)]
  const isGood = given ? statusOf(reply) === 'OK' : reply.status === 200
  if (!isGood) return wanted === given ? reply : translatedError(reply)
  const asked = plan ?? planOf(call)
  const answer = asked && readAnswer(reply, reply.body)
  if (!answer) return wanted === given ? reply : undefined
  const isServerForm = wanted === given && (asItCame || (form === asked.form && isUniform(form)))
  const { preferences } = asked.common as OipNotes
  if (!wanted) return addressed(reply, answer, preferences, isServerForm)
  const binary = givesRaw(preferences.binary, shown)
  return grpcAddressed(reply, answer, { ...preferences, binary }, isServerForm)
}

/** A request of blobs alone: its length field is 0, and every output comes back as a blob. */
const ALL_BINARY: OutputPreferences = { listed: new Map(), hasList: false, binary: true }

function readInference(call: AnswerPreferences, body: Uint8Array, { seed, split }: ReadOptions): Reading {
  const jsonEnd = jsonPart(call, body)
  if (typeof jsonEnd !== 'number') return jsonEnd
  if (jsonEnd === 0 && body.length > 0) return rawPlan(call, seed, digestOf(body))
  const request = readRequest(body, jsonEnd, split)
  if ('bypass' in request) return request
  const { common, plan } = wholePlan(call, seed, request)
  return split ? { ...plan, ...rowsOf(common, body, request.inputs) } : plan
}

function* readInferenceChunks(
  call: AnswerPreferences,
  body: Chunks,
  { seed }: ReadOptions,
): Generator<void, Reading> {
  const jsonEnd = jsonPart(call, body)
  if (typeof jsonEnd !== 'number') return jsonEnd
  if (jsonEnd === 0 && body.length > 0) return rawPlan(call, seed, yield* digestSteps(body.pieces()))
  const request = yield* requestSteps(body, jsonEnd)
  return 'bypass' in request ? request : wholePlan(call, seed, request).plan
}

/** How much of the body is JSON, or why it cannot be read. */
function jsonPart(call: AnswerPreferences, body: WholeBody): number | Bypass {
  const encoding = header(call.headers, 'content-encoding')
  if (encoding !== undefined && encoding !== 'identity') return { bypass: 'content-encoding' }
  // Triton reads such a body as JSON, KServe refuses it.
  const isBinary = header(call.headers, 'content-type')?.toLowerCase().startsWith('application/octet-stream')
  if (isBinary && header(call.headers, HEADER_LENGTH) === undefined) return { bypass: 'header-length' }
  return jsonLength(call.headers, body) ?? { bypass: 'header-length' }
}

function rawPlan(call: AnswerPreferences, seed: Digest, body: Digest): Plan {
  const whole = new Preimage().latin1(seed).text('oip raw').text(call.query).latin1(body).digest()
  return { whole, form: BLOB_FORM, common: { preferences: ALL_BINARY } satisfies OipNotes }
}

function wholePlan(
  call: AnswerPreferences,
  seed: Digest,
  request: OipRequest,
): { readonly common: Digest; readonly plan: Plan } {
  const common = commonPart(seed, call.query, request)
  const isMeasured = header(call.headers, HEADER_LENGTH) !== undefined
  const notes: OipNotes = { preferences: request.preferences, request, isMeasured }
  return { common, plan: { whole: wholeKey(common, request.inputs), form: formOf(request), common: notes } }
}

/** The part of a plan that an answer depends on. */
function planOf(call: AnswerPreferences): Pick<Plan, 'form' | 'common'> | undefined {
  if (isGrpc(call.headers)) {
    const preferences = preferencesOfCall(call)
    if (!preferences) return undefined
    return { form: preferences.binary ? RAW_FORM : TYPED_FORM, common: { preferences } satisfies OipNotes }
  }
  if (!(call.body instanceof Uint8Array)) return undefined
  const reading = readInference(call, call.body, { seed: digestOf(''), split: false })
  return 'bypass' in reading ? undefined : reading
}

/** A 200 may hold no answer, an error beside one, or fewer outputs than the request lists. */
function storable(reply: Reply, body: Uint8Array, plan: Plan): boolean {
  const answer = readAnswer(reply, body)
  return answer !== undefined && hasAll(answer.outputs, plan)
}
