/**
 * Translates the errors of undici, and of the sockets and TLS under it, to faults, by their codes: only `undici-client.ts`
 * imports the package. What the errors say of addresses is for the log alone.
 */
import { GatewayError } from '../../core/errors.ts'
import type { BackendRequest } from './exchange.ts'
import { GarbledError, MAX_HEAD_BYTES } from './reply-head.ts'
import { codeOf, connectFault, type NamedFault, UNSENT } from './socket-errors.ts'

/** `unsent`: the backend has received nothing of the request. */
export function translate(error: unknown, { signal, url }: BackendRequest, unsent: boolean): GatewayError {
  if (error instanceof GatewayError) return error
  const cause = error instanceof Error ? error : new Error(String(error))
  if (signal.aborted && signal.reason instanceof GatewayError) return signal.reason
  const [code, message, more = {}] = read(cause, unsent)
  return new GatewayError(code, message, { cause, backend: new URL(url).host, ...more })
}

function read(cause: Error, unsent: boolean): NamedFault {
  const code = codeOf(cause)
  const known = KNOWN[code] ?? connectFault(cause, unsent)
  if (known) return known
  if (code === 'UND_ERR_HEADERS_TIMEOUT')
    return ['backendTimeout', 'the backend sent no answer in time', { unsent }]
  if (code === 'UND_ERR_INVALID_ARG')
    return ['badRequest', `the request cannot be forwarded: ${cause.message}`, UNSENT]
  // undici's messages are for a 101, for which nobody asked, and for an answer without a request.
  if (cause instanceof GarbledError || cause.message === 'bad upgrade' || cause.message === 'bad response')
    return ['backendGarbled', `the backend answered with broken HTTP: ${cause.message}`]
  // Errors of llhttp.
  if (code.startsWith('HPE_') || cause.name === 'HTTPParserError') return GARBLED
  return ['backendReset', 'the backend closed the connection', { unsent }]
}

const GARBLED: NamedFault = ['backendGarbled', 'the backend answered with broken HTTP']

const KNOWN: Readonly<Record<string, NamedFault>> = {
  UND_ERR_CONNECT_TIMEOUT: ['backendRefused', 'the backend did not accept a connection in time', UNSENT],
  UND_ERR_BODY_TIMEOUT: ['backendTimeout', 'the backend stopped in the middle of an answer'],
  UND_ERR_HEADERS_OVERFLOW: [
    'backendGarbled',
    `the backend answered with a head of more than ${MAX_HEAD_BYTES} bytes`,
  ],
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: GARBLED,
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: ['badRequest', 'the body is not as long as Content-Length says'],
}
