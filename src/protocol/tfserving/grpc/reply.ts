/** The message of a gRPC answer, and an answer of a message. */
import { header } from '../../../core/call.ts'
import type { Reply } from '../../../core/reply.ts'
import { GRPC_TYPE, isGrpc } from '../../grpc/fields.ts'
import { onlyMessage, PREFIX_BYTES, withPrefix } from '../../grpc/message.ts'
import { OK_TRAILERS, statusOf } from '../../grpc/status.ts'
import type { MessageWriter } from '../../protobuf/writer.ts'

const MAX_BYTES = 64 << 20

/** The message of a good answer; undefined: it is none. */
export function answerMessage(reply: Reply, body: Uint8Array): Uint8Array | undefined {
  if (!isGrpc(reply.headers) || statusOf(reply) !== 'OK') return undefined
  const message = onlyMessage(body, header(reply.headers, 'grpc-encoding'), MAX_BYTES)
  return message instanceof Uint8Array ? message : undefined
}

/** Nobody is asked to compress an answer that may be kept, since not every caller can read it. */
export function isCompressed(body: Uint8Array): boolean {
  return body[0] !== 0
}

export function messageReply(message: MessageWriter): Reply {
  const body = withPrefix(message.join(PREFIX_BYTES))
  return { status: 200, headers: ['content-type', GRPC_TYPE], body, trailers: () => OK_TRAILERS }
}
