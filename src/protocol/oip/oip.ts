/**
 * The dialect of the Open Inference Protocol (KServe V2), which Triton, KServe, MLServer and others serve. Tensors are keyed
 * by value, so JSON and binary requests for the same tensors share one entry, and an FP32 `1` is equal to `1.0`.
 */
import { header, type WholeBody } from '../../core/call.ts'
import type { Chunks } from '../../core/chunks.ts'
import { type Digest, digestOf, digestSteps } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import { errorReply } from '../json/reply.ts'
import { Preimage } from '../preimage.ts'
import type { AnswerPreferences, Bypass, Plan, Protocol, Reading, ReadOptions } from '../protocol.ts'
import { addressed, HEADER_LENGTH, jsonLength, readAnswer } from './answer.ts'
import { BLOB_FORM, formOf, formShown, isUniform } from './forms.ts'
import { type Input, type OipRequest, type OutputPreferences, readRequest } from './request.ts'
import {
  answersAgree,
  assembleRows,
  cutAnswer,
  hasAll,
  joinRows,
  type OipNotes,
  putAll,
  rowsOf,
} from './rows.ts'
import { requestSteps } from './steps.ts'
import { oipTarget } from './target.ts'
import { statedVersion } from './version.ts'

export const oip: Protocol = {
  name: 'oip',
  encodings: ['application/json', 'application/octet-stream'],
  readsHeaderLength: true,
  match: oipTarget,
  read: readInference,
  readChunks: readInferenceChunks,
  address(reply, call, plan, { form, asItCame = false } = {}) {
    if (!(reply.body instanceof Uint8Array) || reply.status !== 200) return reply
    const asked = plan ?? planOf(call)
    const answer = asked && readAnswer(reply, reply.body)
    if (!answer) return reply
    const isServerForm = asItCame || (form === asked.form && isUniform(form))
    return addressed(reply, answer, (asked.common as OipNotes).preferences, isServerForm)
  },
  storable,
  shows(reply, body, { form = 0 }) {
    const answer = readAnswer(reply, body)
    return answer ? formShown(form, answer.outputs) : 0
  },
  version: (reply, body) => statedVersion(body.subarray(0, jsonLength(reply.headers, body))),
  fault: errorReply,
  rows: { join: joinRows, cut: cutAnswer, agree: answersAgree, assemble: assembleRows },
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

function planOf(call: AnswerPreferences): Plan | undefined {
  if (!(call.body instanceof Uint8Array)) return undefined
  const reading = readInference(call, call.body, { seed: digestOf(''), split: false })
  return 'bypass' in reading ? undefined : reading
}

/**
 * A digest of everything that an answer depends on besides the inputs. Lists keep their order: servers answer outputs in the
 * order of the request, and clients read `outputs[0]`.
 */
function commonPart(seed: Digest, query: string, request: OipRequest): Digest {
  const preimage = new Preimage().latin1(seed).text('oip').text(query)
  putAll(preimage, request.rest)
  preimage.text(request.preferences.hasList ? 'some' : 'all').number(request.outputs.size)
  for (const [name, rest] of request.outputs) putAll(preimage.latin1(name), rest)
  return preimage.digest()
}

/** The key of the whole call. The order of the inputs counts: MLServer reads them as columns, many KServe models read `inputs[0]`. */
function wholeKey(common: Digest, inputs: readonly Input[]): Digest {
  const preimage = new Preimage().latin1(common).text('whole').number(inputs.length)
  for (const input of inputs) {
    preimage.latin1(input.name).latin1(input.datatype).text(input.shape.join())
    if (input.values !== undefined) preimage.text(input.nested ? 'nested' : 'values').latin1(input.values)
    else preimage.text('as written').latin1(input.asWritten as Digest)
    putAll(preimage, input.rest)
  }
  return preimage.digest()
}

/** A 200 may hold no answer, an error beside one, or fewer outputs than the request lists. */
function storable(reply: Reply, body: Uint8Array, plan: Plan): boolean {
  const answer = readAnswer(reply, body)
  return answer !== undefined && hasAll(answer.outputs, plan)
}
