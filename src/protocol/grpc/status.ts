/** The status of a gRPC call, where it stands in an answer, and which HTTP statuses mean the same. */
import { header, type RawPairs } from '../../core/call.ts'
import type { Reply } from '../../core/reply.ts'
import { isGrpc } from './fields.ts'

/** The codes by number (grpc/grpc, "Status codes and their use in gRPC"). */
export const STATUS_NAMES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const

export type StatusName = (typeof STATUS_NAMES)[number]

/** A status as its number. */
export function statusCode(name: StatusName): number {
  return STATUS_NAMES.indexOf(name)
}

/** The trailers of a good answer. */
export const OK_TRAILERS: RawPairs = ['grpc-status', '0']

/**
 * The status of an answer; undefined: it has not come yet, since the body still streams. A status that is no known number,
 * and an end without a status, count as `UNKNOWN`; so does an answer under another HTTP status, by what that one means.
 */
export function statusOf(reply: Reply): StatusName | undefined {
  const stated =
    header(reply.headers, 'grpc-status') ?? (reply.trailers && header(reply.trailers(), 'grpc-status'))
  if (stated !== undefined)
    return /^\d{1,2}$/.test(stated) ? (STATUS_NAMES[Number(stated)] ?? 'UNKNOWN') : 'UNKNOWN'
  if (reply.status !== 200) return OF_BARE_HTTP[reply.status] ?? 'UNKNOWN'
  return isStillComing(reply) ? undefined : 'UNKNOWN'
}

function isStillComing({ body }: Reply): boolean {
  return Symbol.asyncIterator in body && !('length' in body)
}

/** A field of the status, from the trailers or, of an answer without a message, from the head. */
export function statusField({ headers, trailers }: Reply, name: string): string | undefined {
  return header(headers, name) ?? (trailers && header(trailers(), name))
}

/** What an answer without `grpc-status` means, which no gRPC server has given (grpc/grpc, http-grpc-status-mapping). */
const OF_BARE_HTTP: Readonly<Record<number, StatusName>> = {
  400: 'INTERNAL',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'UNIMPLEMENTED',
  429: 'UNAVAILABLE',
  502: 'UNAVAILABLE',
  503: 'UNAVAILABLE',
  504: 'UNAVAILABLE',
}

/** The status for an error that the same server would have given over HTTP, for calls that are translated. */
export function statusOfHttp(status: number): StatusName {
  if (status === 200) return 'OK'
  return (
    OF_HTTP[status] ??
    (status >= 400 && status < 500 ? 'INVALID_ARGUMENT' : status >= 500 ? 'INTERNAL' : 'UNKNOWN')
  )
}

const OF_HTTP: Readonly<Record<number, StatusName>> = {
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  405: 'UNIMPLEMENTED',
  408: 'DEADLINE_EXCEEDED',
  409: 'ALREADY_EXISTS',
  412: 'FAILED_PRECONDITION',
  413: 'RESOURCE_EXHAUSTED',
  429: 'RESOURCE_EXHAUSTED',
  499: 'CANCELLED',
  501: 'UNIMPLEMENTED',
  502: 'UNAVAILABLE',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
}

/** The HTTP status for an error of a gRPC server (googleapis, google/rpc/code.proto). */
export function httpOfStatus(name: StatusName): number {
  return TO_HTTP[name]
}

const TO_HTTP: Readonly<Record<StatusName, number>> = {
  OK: 200,
  CANCELLED: 499,
  UNKNOWN: 500,
  INVALID_ARGUMENT: 400,
  DEADLINE_EXCEEDED: 504,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  RESOURCE_EXHAUSTED: 429,
  FAILED_PRECONDITION: 400,
  ABORTED: 409,
  OUT_OF_RANGE: 400,
  UNIMPLEMENTED: 501,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DATA_LOSS: 500,
  UNAUTHENTICATED: 401,
}

/** What an answer says, as an HTTP status: that of a gRPC answer is 200, whatever it says. */
export function spokenStatus(reply: Reply): number {
  return isGrpc(reply.headers) ? httpOfStatus(statusOf(reply) ?? 'OK') : reply.status
}

/** Whatever is no printable ASCII, and `%` itself, is written as `%XX` (gRPC over HTTP2, Status-Message). */
export function encodeMessage(message: string): string {
  let encoded = ''
  for (const byte of Buffer.from(message, 'utf8')) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded
}

/** The message of a status. A broken escape stands for itself, since a client must not lose the message for it. */
export function decodeMessage(encoded: string): string {
  const bytes = encoded.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return Buffer.from(bytes, 'latin1').toString('utf8')
}
