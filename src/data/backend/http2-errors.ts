/** Translates the errors of HTTP/2 (RFC 9113, section 7), of node:http2, and of the sockets and TLS under it, to faults. */
import { constants } from 'node:http2'
import { GatewayError } from '../../core/errors.ts'
import { codeOf, connectFault, type NamedFault, UNSENT } from './socket-errors.ts'

const NAMES: Readonly<Record<number, string>> = {
  0: 'NO_ERROR',
  1: 'PROTOCOL_ERROR',
  2: 'INTERNAL_ERROR',
  3: 'FLOW_CONTROL_ERROR',
  4: 'SETTINGS_TIMEOUT',
  5: 'STREAM_CLOSED',
  6: 'FRAME_SIZE_ERROR',
  7: 'REFUSED_STREAM',
  8: 'CANCEL',
  9: 'COMPRESSION_ERROR',
  10: 'CONNECT_ERROR',
  11: 'ENHANCE_YOUR_CALM',
  12: 'INADEQUATE_SECURITY',
  13: 'HTTP_1_1_REQUIRED',
}

/** Either side sends these where the other breaks the rules; the frames of node:http2 do not. */
const BROKEN: readonly number[] = [
  constants.NGHTTP2_PROTOCOL_ERROR,
  constants.NGHTTP2_FLOW_CONTROL_ERROR,
  constants.NGHTTP2_STREAM_CLOSED,
  constants.NGHTTP2_FRAME_SIZE_ERROR,
  constants.NGHTTP2_COMPRESSION_ERROR,
]

/** Why a connection has ended. */
export interface ConnectionEnd {
  readonly error: Error | undefined
  /** The code with which the backend said goodbye, if it did. */
  readonly goaway: number | undefined
}

/** A stream that ended before its answer did. */
export interface BrokenStream {
  /** Code of the RST_STREAM frame, of whichever side. */
  readonly code: number
  /** Undefined: the connection goes on. */
  readonly connection: ConnectionEnd | undefined
  readonly error: Error | undefined
  /** The backend said with GOAWAY that it has not looked at the stream. */
  readonly isIgnored: boolean
  /** Host and port. */
  readonly backend: string
}

export function streamFault({ code, connection, error, isIgnored, backend }: BrokenStream): GatewayError {
  const cause = connection?.error ?? error
  const [fault, message, more] = isIgnored
    ? IGNORED
    : connection
      ? connectionEnd(cause, connection.goaway)
      : streamEnd(code)
  return new GatewayError(fault, message, { cause, backend, ...more })
}

const IGNORED: NamedFault = [
  'backendReset',
  'the backend closed the connection before it took the request',
  UNSENT,
]

function streamEnd(code: number): NamedFault {
  const name = NAMES[code] ?? `code ${code}`
  // RFC 9113, section 8.7: nothing was done, so the request may be repeated.
  if (code === constants.NGHTTP2_REFUSED_STREAM)
    return ['backendReset', `the backend refused the request (${name})`, UNSENT]
  if (code === constants.NGHTTP2_HTTP_1_1_REQUIRED)
    return ['backendGarbled', `the backend wants HTTP/1.1 for this request (${name})`, UNSENT]
  if (BROKEN.includes(code)) return ['backendGarbled', `the backend answered with broken HTTP/2 (${name})`]
  return ['backendReset', `the backend reset the stream (${name})`]
}

function connectionEnd(error: Error | undefined, goaway = constants.NGHTTP2_NO_ERROR): NamedFault {
  if (goaway !== constants.NGHTTP2_NO_ERROR)
    return ['backendReset', `the backend closed the connection (${NAMES[goaway] ?? `code ${goaway}`})`]
  if (error && isProtocolError(error)) return ['backendGarbled', 'the backend answered with broken HTTP/2']
  return ['backendReset', 'the backend closed the connection']
}

/** The fault where no connection came to be: nothing of any request was sent. */
export function connectionFault(error: Error | undefined, backend: string): GatewayError {
  if (error instanceof GatewayError) return error
  const [fault, message] = (error && connectFault(error, true)) ?? notHttp2(error)
  return new GatewayError(fault, message, { cause: error, backend, unsent: true })
}

function notHttp2(error: Error | undefined): NamedFault {
  if (error && isProtocolError(error)) return ['backendGarbled', 'the backend does not speak HTTP/2']
  return ['backendRefused', `the backend refused the connection (${(error && codeOf(error)) || 'closed'})`]
}

/** Of node:http2: the frames of the backend were none. */
function isProtocolError(error: Error): boolean {
  return codeOf(error) === 'ERR_HTTP2_ERROR'
}
