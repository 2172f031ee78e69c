/** Translates the ends of streams and connections of HTTP/2 (RFC 9113, section 7), and of the sockets and TLS under them, to faults. */
import { GatewayError } from '../../core/errors.ts'
import * as h2 from '../../lib/http2/frames.ts'
import { codeOf, connectFault, type NamedFault, UNSENT } from './socket-errors.ts'

/** Either side sends these where the other breaks the rules. */
const BROKEN: readonly number[] = [
  h2.PROTOCOL_ERROR,
  h2.FLOW_CONTROL_ERROR,
  h2.STREAM_CLOSED,
  h2.FRAME_SIZE_ERROR,
  h2.COMPRESSION_ERROR,
]

/** Why a connection has ended. */
export interface ConnectionEnd {
  readonly error: Error | undefined
  /** The code with which the backend said goodbye, if it did. */
  readonly goaway: number | undefined
}

/**
 * `isBegun`: something of an answer has come, so the backend has looked at the request, whatever it says of it then. `backend`, here
 * and below: host and port.
 */
export function resetFault(code: number, isBegun: boolean, backend: string): GatewayError {
  return named((!isBegun && untouchedNamed(code)) || resetNamed(code), backend)
}

/** RFC 9113, section 8.7: nothing was done, so the request may be repeated. */
function untouchedNamed(code: number): NamedFault | undefined {
  const name = h2.errorName(code)
  if (code === h2.REFUSED_STREAM) return ['backendReset', `the backend refused the request (${name})`, UNSENT]
  if (code === h2.HTTP_1_1_REQUIRED)
    return ['backendGarbled', `the backend wants HTTP/1.1 for this request (${name})`, UNSENT]
  return undefined
}

function resetNamed(code: number): NamedFault {
  const name = h2.errorName(code)
  if (BROKEN.includes(code)) return ['backendGarbled', `the backend answered with broken HTTP/2 (${name})`]
  return ['backendReset', `the backend reset the stream (${name})`]
}

/** The backend said with GOAWAY that it has not looked at the stream. */
export function ignoredFault(backend: string): GatewayError {
  return named(
    ['backendReset', 'the backend closed the connection before it took the request', UNSENT],
    backend,
  )
}

export function garbledFault(what: string, backend: string, cause?: Error): GatewayError {
  return named(['backendGarbled', `the backend answered with broken HTTP/2: ${what}`], backend, cause)
}

/** The fault of a stream whose connection has ended. */
export function lostFault({ error, goaway = h2.NO_ERROR }: ConnectionEnd, backend: string): GatewayError {
  if (error instanceof h2.ConnectionError) return garbledFault(error.message, backend, error)
  const why = goaway === h2.NO_ERROR ? '' : ` (${h2.errorName(goaway)})`
  return named(['backendReset', `the backend closed the connection${why}`], backend, error)
}

/** The fault where no connection came to be: nothing of any request was sent. */
export function connectionFault(error: Error | undefined, backend: string): GatewayError {
  if (error instanceof GatewayError) return error
  const [fault, message] = (error && connectFault(error, true)) ?? notHttp2(error)
  return named([fault, message, UNSENT], backend, error)
}

function notHttp2(error: Error | undefined): NamedFault {
  if (error instanceof h2.ConnectionError) return ['backendGarbled', 'the backend does not speak HTTP/2']
  return ['backendRefused', `the backend refused the connection (${(error && codeOf(error)) || 'closed'})`]
}

export function connectTimeout(backend: string): GatewayError {
  return named(['backendRefused', 'the backend did not accept a connection in time', UNSENT], backend)
}

export function notNegotiated(backend: string): GatewayError {
  return named(['backendTls', 'the backend does not speak HTTP/2 over TLS (ALPN)', UNSENT], backend)
}

function named([fault, message, more]: NamedFault, backend: string, cause?: Error): GatewayError {
  return new GatewayError(fault, message, { cause, backend, ...more })
}
