/**
 * The dialect of TensorFlow Serving's REST API and KServe V1. The types in a body depend on a signature that the gateway does
 * not know, so numbers are keyed as written (`1` and `1.0` are different requests), and every member is in the key.
 */
import { errorReply } from '../json/reply.ts'
import type { Protocol } from '../protocol.ts'
import { answersAgree, assembleRows, cutAnswer } from './answer.ts'
import { joinRows, readPrediction, readPredictionChunks } from './request.ts'
import { tfservingTarget } from './target.ts'
import { isWholeAnswer, type RequestShape } from './whole.ts'

export const tfserving: Protocol = {
  name: 'tfserving',
  encodings: ['application/json'],
  match: tfservingTarget,
  read: readPrediction,
  readChunks: readPredictionChunks,
  // A V1 answer has nothing of its caller in it.
  address: (reply) => reply,
  storable: (_reply, body, plan, counted) => isWholeAnswer(body, plan.common as RequestShape, counted),
  fault: errorReply,
  rows: {
    join: joinRows,
    cut: cutAnswer,
    agree: answersAgree,
    assemble: (_plan, answers) => assembleRows(answers),
  },
}
