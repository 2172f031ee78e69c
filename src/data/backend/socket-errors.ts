/** Translates the errors of connecting to a backend, of its socket and of TLS, to faults, by their codes. */
import type { FaultCode, FaultDetail } from '../../core/errors.ts'
import { isAboutCertificate } from '../../lib/certificates.ts'

export type NamedFault = readonly [code: FaultCode, message: string, more?: FaultDetail]

export const UNSENT = { unsent: true }

/** Undefined: it is no error of a connection that could not be made. `unsent`: the backend has received nothing of the request. */
export function connectFault(cause: Error, unsent: boolean): NamedFault | undefined {
  const code = codeOf(cause)
  if (UNREACHABLE.has(code) || cause instanceof AggregateError)
    return ['backendRefused', `the backend refused the connection (${code || 'unreachable'})`, UNSENT]
  if (isAboutCertificate(code))
    return ['backendUntrusted', `the certificate of the backend is not accepted (${code})`, UNSENT]
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_'))
    return ['backendTls', `no TLS connection to the backend came to be (${code})`, { unsent }]
  return undefined
}

/** The `code` of an error; the empty string: it has none. */
export function codeOf(cause: Error): string {
  return 'code' in cause ? String(cause.code) : ''
}

const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EADDRNOTAVAIL',
])
