/**
 * All errors that the gateway answers itself, in one table: the status, the Proxy-Status type, and whether a retry may
 * help. There is one class without a hierarchy; the code is also the metric's label and the `error` parameter of
 * Proxy-Status.
 */
import type { RawPairs } from './call.ts'

export type Blame = 'caller' | 'gateway' | 'backend'

/** `never`; `later`: the same call may succeed after a pause; `other`: another backend may do it. */
export type Retry = 'never' | 'later' | 'other'

export interface Fault {
  readonly status: number
  readonly blame: Blame
  readonly retry: Retry
  /** The Proxy-Status error type (RFC 9209, section 2.3). */
  readonly proxyStatus: string
}

export const FAULTS = {
  badRequest: { status: 400, blame: 'caller', retry: 'never', proxyStatus: 'http_request_error' },
  badTarget: { status: 400, blame: 'caller', retry: 'never', proxyStatus: 'http_request_error' },
  unauthenticated: { status: 401, blame: 'caller', retry: 'never', proxyStatus: 'http_request_denied' },
  forbidden: { status: 403, blame: 'caller', retry: 'never', proxyStatus: 'http_request_denied' },
  rateLimited: { status: 429, blame: 'caller', retry: 'later', proxyStatus: 'http_request_denied' },
  unknownRoute: { status: 404, blame: 'caller', retry: 'never', proxyStatus: 'destination_not_found' },
  unknownModel: { status: 404, blame: 'caller', retry: 'never', proxyStatus: 'destination_not_found' },
  bodyTooLarge: { status: 413, blame: 'caller', retry: 'never', proxyStatus: 'http_request_error' },
  unknownCoding: { status: 501, blame: 'caller', retry: 'never', proxyStatus: 'http_request_error' },
  requestTimeout: { status: 408, blame: 'caller', retry: 'never', proxyStatus: 'http_request_error' },
  callerLeft: { status: 499, blame: 'caller', retry: 'never', proxyStatus: 'http_request_error' },
  notCached: { status: 504, blame: 'caller', retry: 'never', proxyStatus: 'http_request_denied' },
  overloaded: { status: 503, blame: 'gateway', retry: 'later', proxyStatus: 'connection_limit_reached' },
  draining: { status: 503, blame: 'gateway', retry: 'later', proxyStatus: 'destination_unavailable' },
  noBackend: { status: 503, blame: 'gateway', retry: 'later', proxyStatus: 'destination_unavailable' },
  noTransport: { status: 501, blame: 'gateway', retry: 'never', proxyStatus: 'destination_unavailable' },
  deadline: { status: 504, blame: 'backend', retry: 'never', proxyStatus: 'http_response_timeout' },
  backendRefused: { status: 502, blame: 'backend', retry: 'other', proxyStatus: 'connection_refused' },
  backendReset: { status: 502, blame: 'backend', retry: 'other', proxyStatus: 'connection_terminated' },
  backendTimeout: { status: 504, blame: 'backend', retry: 'other', proxyStatus: 'http_response_timeout' },
  backendGarbled: { status: 502, blame: 'backend', retry: 'other', proxyStatus: 'http_protocol_error' },
  backendForbidden: {
    status: 502,
    blame: 'backend',
    retry: 'other',
    proxyStatus: 'destination_ip_prohibited',
  },
  backendUntrusted: { status: 502, blame: 'backend', retry: 'other', proxyStatus: 'tls_certificate_error' },
  backendTls: { status: 502, blame: 'backend', retry: 'other', proxyStatus: 'tls_protocol_error' },
  internal: { status: 500, blame: 'gateway', retry: 'never', proxyStatus: 'proxy_internal_error' },
} as const satisfies Record<string, Fault>

export type FaultCode = keyof typeof FAULTS

export interface FaultDetail {
  readonly cause?: unknown
  /** The backend's address, for the log; it is not shown to callers. */
  readonly backend?: string
  /** Seconds the client should wait; sent as Retry-After where the fault's `retry` is `later`. */
  readonly retryAfterSeconds?: number
  /** Header fields that belong to the answer, such as `WWW-Authenticate`. */
  readonly fields?: RawPairs
  /** True when no byte of the call was sent to a backend: a retry is always safe. */
  readonly unsent?: boolean
  /** It concerns the caller's tenant alone: who has joined the call may still be served. */
  readonly ofTenant?: boolean
  /** The limit of the tenant's that is used up, in a word. */
  readonly limit?: string
}

/**
 * A call that failed for a known reason. The message is for the client: it says what to do, and contains neither a
 * secret nor an address of a backend.
 */
export class GatewayError extends Error {
  readonly code: FaultCode
  readonly detail: FaultDetail
  constructor(code: FaultCode, message: string, detail: FaultDetail = {}) {
    super(message, 'cause' in detail ? { cause: detail.cause } : {})
    this.name = 'GatewayError'
    this.code = code
    this.detail = detail
  }
  get fault(): Fault {
    return FAULTS[this.code]
  }

  /** The message with the backend's address and the underlying error, for the log only. */
  get logged(): string {
    const { backend, cause } = this.detail
    // With several addresses tried, Node throws an AggregateError whose own message is empty.
    const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause
    const why = first instanceof Error && first.message !== this.message ? first.message : ''
    return `${this.message}${backend === undefined ? '' : ` (${backend})`}${why === '' ? '' : `: ${why}`}`
  }
}
