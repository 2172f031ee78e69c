/** The gateway's own errors as gRPC answers, for any dialect that is called over gRPC. */
import type { RawPairs } from '../../core/call.ts'
import type { FaultCode, GatewayError } from '../../core/errors.ts'
import type { Reply } from '../../core/reply.ts'
import { GRPC_TYPE } from './fields.ts'
import { encodeMessage, type StatusName, statusCode } from './status.ts'

export const STATUS_OF_FAULT: Readonly<Record<FaultCode, StatusName>> = {
  badRequest: 'INVALID_ARGUMENT',
  badTarget: 'INVALID_ARGUMENT',
  unauthenticated: 'UNAUTHENTICATED',
  forbidden: 'PERMISSION_DENIED',
  rateLimited: 'RESOURCE_EXHAUSTED',
  unknownRoute: 'UNIMPLEMENTED',
  unknownModel: 'NOT_FOUND',
  // As the libraries say of a message that is too long.
  bodyTooLarge: 'RESOURCE_EXHAUSTED',
  unknownCoding: 'UNIMPLEMENTED',
  requestTimeout: 'CANCELLED',
  callerLeft: 'CANCELLED',
  // With any status that stands for a failure, clients would ask again.
  notCached: 'FAILED_PRECONDITION',
  overloaded: 'UNAVAILABLE',
  draining: 'UNAVAILABLE',
  noBackend: 'UNAVAILABLE',
  deadline: 'DEADLINE_EXCEEDED',
  backendRefused: 'UNAVAILABLE',
  backendReset: 'UNAVAILABLE',
  backendTimeout: 'DEADLINE_EXCEEDED',
  backendGarbled: 'INTERNAL',
  backendForbidden: 'UNAVAILABLE',
  backendUntrusted: 'UNAVAILABLE',
  backendTls: 'UNAVAILABLE',
  internal: 'INTERNAL',
}

/** An answer without a message: the status stands in the head. */
export function statusReply(status: StatusName, message: string, fields: RawPairs = []): Reply {
  const own = ['content-type', GRPC_TYPE, 'grpc-status', String(statusCode(status))]
  return { status: 200, headers: [...own, 'grpc-message', encodeMessage(message), ...fields], body: NOTHING }
}

const NOTHING = new Uint8Array(0)

export function grpcFault({ code, fault, message, detail: { retryAfterSeconds } }: GatewayError): Reply {
  const isLater = fault.retry === 'later' && retryAfterSeconds !== undefined
  const pushback = isLater ? ['grpc-retry-pushback-ms', String(Math.ceil(retryAfterSeconds * 1000))] : []
  return statusReply(STATUS_OF_FAULT[code], message, pushback)
}
