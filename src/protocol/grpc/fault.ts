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
  noTransport: 'UNIMPLEMENTED',
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
  const own = statusFields(status, message)
  return { status: 200, headers: ['content-type', GRPC_TYPE, ...own, ...fields], body: NOTHING }
}

function statusFields(status: StatusName, message: string): string[] {
  return ['grpc-status', String(statusCode(status)), 'grpc-message', encodeMessage(message)]
}

const NOTHING = new Uint8Array(0)

export function grpcFault(error: GatewayError): Reply {
  return { status: 200, headers: ['content-type', GRPC_TYPE, ...grpcStatusOf(error)], body: NOTHING }
}

/** The fields that tell the error: in the head of an answer without a message, or in the trailers. */
export function grpcStatusOf({
  code,
  fault,
  message,
  detail: { retryAfterSeconds },
}: GatewayError): RawPairs {
  const isLater = fault.retry === 'later' && retryAfterSeconds !== undefined
  const pushback = isLater ? ['grpc-retry-pushback-ms', String(Math.ceil(retryAfterSeconds * 1000))] : []
  return [...statusFields(STATUS_OF_FAULT[code], message), ...pushback]
}
