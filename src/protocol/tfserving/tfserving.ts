/**
 * The dialect of TensorFlow Serving, over REST (KServe V1 included) and over gRPC. In REST the types in a body depend on a
 * signature that the gateway does not know, so numbers are keyed as written (`1` and `1.0` are different requests), and every
 * member is in the key. Over gRPC tensors are keyed by value.
 */
import type { Call } from '../../core/call.ts'
import { isGrpc } from '../grpc/fields.ts'
import { grpcVerdict } from '../grpc/verdict.ts'
import { compareJson } from '../json/compare.ts'
import { errorReply } from '../json/reply.ts'
import type { Protocol } from '../protocol.ts'
import { verdictOfStatus } from '../verdict.ts'
import { answersAgree, assembleRows, cutAnswer } from './answer.ts'
import { isGrpcFrame } from './grpc/frames.ts'
import * as grpc from './grpc/grpc.ts'
import { namedModel, namedModelSteps } from './grpc/spec.ts'
import { grpcTarget } from './grpc/target.ts'
import { joinRows, readPrediction, readPredictionChunks } from './request.ts'
import { tfservingTarget } from './target.ts'
import { isWholeAnswer, type RequestShape } from './whole.ts'

export const tfserving: Protocol = {
  name: 'tfserving',
  encodings: ['application/json'],
  match: (method, path) => grpcTarget(method, path) ?? tfservingTarget(method, path),
  model: namedModel,
  modelChunks: namedModelSteps,
  read: (call, body, options) =>
    isGrpcCall(call) ? grpc.readCall(call, body, options) : readPrediction(call, body, options),
  readChunks: (call, body, options) =>
    isGrpcCall(call) ? grpc.readCallChunks(call, body, options) : readPredictionChunks(call, body, options),
  // An answer has nothing of its caller in it.
  address: (reply) => reply,
  storable(reply, body, plan, counted) {
    const notes = grpc.notesOf(plan)
    return notes
      ? grpc.isWholeReply(reply, body, notes)
      : isWholeAnswer(body, plan.common as RequestShape, counted)
  },
  answerFields: ['grpc-status', 'grpc-message', 'grpc-status-details-bin'],
  // An answer to one request comes in one message; the others are passed on as they come.
  isStream: ({ headers }) => (isGrpc(headers) ? false : undefined),
  verdict: (reply) => (isGrpc(reply.headers) ? grpcVerdict(reply) : verdictOfStatus(reply.status)),
  *compare(a, b) {
    if (isGrpc(a.headers)) return grpc.compareAnswers(a, b)
    return yield* compareJson(a.body, b.body)
  },
  version: (reply, body) => (isGrpc(reply.headers) ? grpc.versionOf(reply, body) : undefined),
  fault: errorReply,
  rows: {
    join: (plan, rows, body) => (grpc.notesOf(plan) ? grpc.joinRows(plan, rows) : joinRows(plan, rows, body)),
    cut: (reply, body, count, plan) =>
      isGrpc(reply.headers)
        ? grpc.cutReply(reply, body, count, plan && grpc.notesOf(plan))
        : cutAnswer(reply, body, count),
    agree: (a, b) => (isGrpcFrame(a.frame) ? grpc.rowsAgree(a, b) : answersAgree(a, b)),
    assemble(plan, answers) {
      const notes = grpc.notesOf(plan)
      return notes ? grpc.assembleReply(notes, answers) : assembleRows(answers)
    },
  },
}

/** Over gRPC the body names the model, over REST the path. */
function isGrpcCall({ target }: Call): boolean {
  return target?.isNamedInBody === true
}
