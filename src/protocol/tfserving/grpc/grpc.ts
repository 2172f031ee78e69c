/**
 * The gRPC form of the dialect (prediction_service.proto): messages are keyed by meaning, and answers are cut and assembled field
 * by field. Its entries are not those of the REST form, whose answers say less.
 */
import { type Call, header } from '../../../core/call.ts'
import { type Chunks, JOINED_BYTES } from '../../../core/chunks.ts'
import type { Reply } from '../../../core/reply.ts'
import { runToEnd } from '../../../lib/cooperative.ts'
import type { ComparedReply, Difference } from '../../difference.ts'
import { isGrpc, isProtobuf } from '../../grpc/fields.ts'
import { hasOneMessage, onlyMessage, PREFIX_BYTES } from '../../grpc/message.ts'
import { Preimage } from '../../preimage.ts'
import { ChunkSource, type MessageSource, WholeSource } from '../../protobuf/source.ts'
import type { Bypass, Joined, Plan, Reading, ReadOptions, Row, RowAnswer } from '../../protocol.ts'
import { joinExamples, readExamples, readMultiInference } from './examples.ts'
import {
  assembleExamples,
  compareExamples,
  cutExamples,
  examplesAgree,
  isWholeExamples,
  isWholeMultiInference,
} from './examples-answer.ts'
import { bypassOf } from './fields.ts'
import { PREDICT_FRAME, partsOf } from './frames.ts'
import type { ServingNotes } from './notes.ts'
import { joinPredict, readPredict } from './predict.ts'
import {
  assemblePredict,
  comparePredict,
  cutPredict,
  isWholePredict,
  predictsAgree,
} from './predict-answer.ts'
import { answerMessage, isCompressed } from './reply.ts'
import { statedVersion } from './spec.ts'

export function readCall(call: Call, body: Uint8Array, options: ReadOptions): Reading {
  const encoding = header(call.headers, 'grpc-encoding')
  const message = onlyMessage(body, encoding, JOINED_BYTES)
  return message instanceof Uint8Array
    ? runToEnd(readMessage(call, new WholeSource(message), options))
    : message
}

export function* readCallChunks(call: Call, body: Chunks, options: ReadOptions): Generator<void, Reading> {
  if (!hasOneMessage(body)) return { bypass: 'grpc-message' }
  return yield* readMessage(call, new ChunkSource(body, PREFIX_BYTES), options)
}

function* readMessage(call: Call, source: MessageSource, options: ReadOptions): Generator<void, Reading> {
  const { target, headers, query } = call
  if (!isProtobuf(headers)) return { bypass: isGrpc(headers) ? 'grpc-codec' : 'content-type' }
  if (header(headers, 'content-encoding') !== undefined) return { bypass: 'content-encoding' }
  if (target?.model === undefined) return { bypass: 'no-model' }
  const verb = target.verb as ServingNotes['verb']
  const prefix = new Preimage().latin1(options.seed).text('tfserving grpc').text(verb).text(query).digest()
  const isEncoded = header(headers, 'grpc-encoding') !== undefined
  try {
    if (verb === 'predict') return yield* readPredict(source, prefix, { options, isEncoded })
    if (verb === 'multi-inference') return yield* readMultiInference(source, prefix, { isEncoded })
    return yield* readExamples(source, prefix, { verb, options, isEncoded })
  } catch (error) {
    return unreadable(error)
  }
}

function unreadable(error: unknown): Bypass {
  const bypass = bypassOf(error)
  if (bypass === undefined) throw error
  return { bypass }
}

/** What `read` makes of the message of a good answer; undefined: it is none, or cannot be read. */
function ofAnswer<T>(reply: Reply, body: Uint8Array, read: (message: Uint8Array) => T): T | undefined {
  const message = answerMessage(reply, body)
  return message && readable(() => read(message))
}

/** Undefined where bytes cannot be read: an answer, or what is in a shared cache, may be anything. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    unreadable(error)
    return undefined
  }
}

/** `plan.common` of a call over gRPC. */
export function notesOf({ common }: Pick<Plan, 'common'>): ServingNotes | undefined {
  return typeof common === 'object' && common !== null && 'isEncoded' in common
    ? (common as ServingNotes)
    : undefined
}

export function isWholeReply(
  reply: Reply,
  body: Uint8Array,
  { verb, count, filter = [] }: ServingNotes,
): boolean {
  if (isCompressed(body)) return false
  const isWhole = ofAnswer(reply, body, (message) => {
    if (verb === 'predict') return isWholePredict(message, filter)
    if (verb === 'multi-inference') return isWholeMultiInference(message, count)
    return isWholeExamples(message, count, verb)
  })
  return isWhole === true
}

/** The version that has answered. A MultiInference has one in each result, and is not asked. */
export function versionOf(reply: Reply, body: Uint8Array): string | undefined {
  return ofAnswer(reply, body, statedVersion)
}

export function joinRows(plan: Plan, rows: readonly Row[]): Joined {
  return notesOf(plan)?.verb === 'predict' ? joinPredict(plan, rows) : joinExamples(plan, rows)
}

export function cutReply(
  reply: Reply,
  body: Uint8Array,
  count: number,
  { verb = 'predict', filter = [] }: Partial<ServingNotes> = {},
): readonly RowAnswer[] | undefined {
  return ofAnswer(reply, body, (message) => {
    if (verb === 'classify' || verb === 'regress') return cutExamples(message, count, verb)
    return verb === 'predict' ? cutPredict(message, count, filter) : undefined
  })
}

export function rowsAgree(a: RowAnswer, b: RowAnswer): boolean {
  return (
    readable(() => (partsOf(a.frame, PREDICT_FRAME) ? predictsAgree(a, b) : examplesAgree(a, b))) === true
  )
}

export function assembleReply({ verb }: ServingNotes, answers: readonly RowAnswer[]): Reply | undefined {
  if (verb === 'classify' || verb === 'regress') return assembleExamples(answers, verb)
  return verb === 'predict' ? readable(() => assemblePredict(answers)) : undefined
}

/** How two good answers differ; undefined: they agree. */
export function compareAnswers(a: ComparedReply, b: ComparedReply): Difference | undefined {
  const [left, right] = [answerMessage(a, a.body), answerMessage(b, b.body)]
  if (!left || !right) return { what: 'text' }
  const known = readable(() => [compareMessages(left, right)] as const)
  return known ? known[0] : { what: 'text' }
}

/** An answer does not say to which method: what cannot be read as tensors by name is a list of results. */
function compareMessages(a: Uint8Array, b: Uint8Array): Difference | undefined {
  const known = readable(() => [comparePredict(a, b)] as const)
  return known ? known[0] : compareExamples(a, b)
}
