/** undici's errors, and those of the sockets and TLS under it, as faults. What it says of addresses stays for the log. */
import { errors } from 'undici'
import { type FaultCode, type FaultDetail, GatewayError } from '../../core/errors.ts'
import type { Request } from './exchange.ts'

/** `unsent`: the backend has seen nothing of the request. */
export function translate(error: unknown, { signal, url }: Request, unsent: boolean): GatewayError {
  if (error instanceof GatewayError) return error
  const cause = error instanceof Error ? error : new Error(String(error))
  if (signal.aborted && signal.reason instanceof GatewayError) return signal.reason
  const [code, message, more = {}] = read(cause, unsent)
  return new GatewayError(code, message, { cause, backend: new URL(url).host, ...more })
}

type Said = readonly [code: FaultCode, message: string, more?: FaultDetail]

const UNSENT = { unsent: true }

function read(cause: Error, unsent: boolean): Said {
  const code = 'code' in cause ? String(cause.code) : ''
  if (cause instanceof errors.ConnectTimeoutError)
    return ['backendRefused', 'the backend did not accept a connection in time', UNSENT]
  if (UNREACHABLE.has(code) || cause instanceof AggregateError)
    return ['backendRefused', `the backend refused the connection (${code || 'unreachable'})`, UNSENT]
  if (isAboutCertificate(code))
    return ['backendUntrusted', `the certificate of the backend is not accepted (${code})`, UNSENT]
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_'))
    return ['backendTls', `no TLS connection to the backend came to be (${code})`, { unsent }]
  if (cause instanceof errors.HeadersTimeoutError)
    return ['backendTimeout', 'the backend sent no answer in time', { unsent }]
  if (cause instanceof errors.BodyTimeoutError)
    return ['backendTimeout', 'the backend stopped in the middle of an answer']
  if (cause instanceof errors.HTTPParserError || cause instanceof errors.ResponseContentLengthMismatchError)
    return ['backendGarbled', 'the backend answered with broken HTTP']
  if (cause instanceof errors.RequestContentLengthMismatchError)
    return ['badRequest', 'the body is not as long as Content-Length says']
  if (cause instanceof errors.InvalidArgumentError)
    return ['badRequest', `the request cannot be forwarded: ${cause.message}`, UNSENT]
  return ['backendReset', 'the backend closed the connection', { unsent }]
}

const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EADDRNOTAVAIL',
])

/** What Node says of a certificate: OpenSSL's X509_V_ERR_* without their prefix, and two of its own (node:tls, "X509 certificate error codes"). */
const CERTIFICATE =
  /^(?:CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_SELF_SIGNED_CERT$|SELF_SIGNED_CERT_IN_CHAIN$|ERROR_IN_C(?:ERT|RL)_|INVALID_(?:CA|PURPOSE)$|PATH_LENGTH_EXCEEDED$|HOSTNAME_MISMATCH$|OUT_OF_MEM$|ERR_TLS_CERT_)/

function isAboutCertificate(code: string): boolean {
  return CERTIFICATE.test(code)
}
