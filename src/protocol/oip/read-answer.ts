/** Reads an answer in whichever form it came. */
import type { Reply } from '../../core/reply.ts'
import { isGrpc } from '../grpc/fields.ts'
import { type OipAnswer, readJsonAnswer } from './answer.ts'
import { readGrpcAnswer } from './grpc/answer.ts'

/** Undefined: it is no good answer of this protocol. */
export function readAnswer(reply: Reply, body: Uint8Array): OipAnswer | undefined {
  return isGrpc(reply.headers) ? readGrpcAnswer(reply, body) : readJsonAnswer(reply, body)
}
