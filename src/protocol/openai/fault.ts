/** Errors as OpenAI writes them, by which its SDKs choose the class of the exception and decide on a retry. */
import type { FaultCode, GatewayError } from '../../core/errors.ts'
import type { Reply } from '../../core/reply.ts'
import { jsonReply } from '../json/reply.ts'

interface Kind {
  readonly type: string
  readonly code: string
  readonly param?: string
}

const INVALID = 'invalid_request_error'
const NO_MODEL: Kind = { type: INVALID, code: 'model_not_found', param: 'model' }

/** Where OpenAI has a word of its own; the others are told by our own code, in its spelling. */
const KINDS: Partial<Record<FaultCode, Kind>> = {
  unauthenticated: { type: INVALID, code: 'invalid_api_key' },
  forbidden: { type: 'permission_error', code: 'permission_denied' },
  // A route of this dialect that does not match: what the path names exists, so it is the model that does not.
  unknownRoute: NO_MODEL,
  unknownModel: NO_MODEL,
  rateLimited: { type: 'rate_limit_error', code: 'rate_limit_exceeded' },
  overloaded: { type: 'overloaded_error', code: 'overloaded' },
}

const QUOTA: Kind = { type: 'insufficient_quota', code: 'insufficient_quota' }

/** SDKs wait for as long as `Retry-After` says up to a minute; a longer one they ignore, and try again at once. */
const MAX_WAIT_SECONDS = 60

export function fault(error: GatewayError): Reply {
  const { status } = error.fault
  const { type, code, param = null } = kindOf(error)
  const body = JSON.stringify({ error: { message: error.message, type, param, code } })
  const reply = jsonReply(status, Buffer.from(body))
  return { ...reply, headers: [...reply.headers, 'x-should-retry', String(mayHelp(error))] }
}

function kindOf({ code, fault: { status }, detail }: GatewayError): Kind {
  if (code === 'rateLimited' && detail.limit?.endsWith('-quota') === true) return QUOTA
  return KINDS[code] ?? { type: status < 500 ? INVALID : 'server_error', code: inSnakeCase(code) }
}

function inSnakeCase(code: string): string {
  return code.replace(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`)
}

/** Whether the same call may succeed soon. Without this SDKs repeat every 408, 409, 429 and 5xx. */
function mayHelp({ fault: { retry }, detail: { retryAfterSeconds = 1 } }: GatewayError): boolean {
  return retry === 'later' ? retryAfterSeconds <= MAX_WAIT_SECONDS : retry === 'other'
}
