/** What checking a credential gives: whom it names, or why it is refused. No text of a credential is in either. */
import { GatewayError } from '../../core/errors.ts'

/** When what was found of a credential holds, in wall milliseconds. */
export interface Validity {
  /** Before it the clock was set back, and the credential is looked at again; left out: at any time. */
  readonly since?: number
  readonly until: number
}

export function holdsAt({ since = Number.NEGATIVE_INFINITY, until }: Validity, wall: number): boolean {
  return since <= wall && wall < until
}

/** Whom a credential names. */
export interface Proof extends Validity {
  readonly tenant: string
  readonly subject: string
  readonly scopes?: readonly string[]
}

/** While it holds the same credential is refused without another look. */
export interface Refusal extends Validity {
  readonly refusal: GatewayError
}

export type Checked = Proof | Refusal

/** Longest name of a tenant or subject. */
const MAX_NAME = 256
const VISIBLE = /^[\x20-\x7e\u00a0-\u{10ffff}]+$/u

/** Whether a caller may bear the name; `*` stands for all tenants in the settings. */
export function isName(name: string): boolean {
  return name !== '' && name !== '*' && name.length <= MAX_NAME && VISIBLE.test(name)
}

/**
 * The challenge of a 401 or 403 (RFC 6750, section 3). A request without any credentials is told no error code
 * (section 3.1).
 */
function challenge(error?: string, description?: string): readonly string[] {
  const why = error === undefined ? '' : `, error="${error}", error_description="${description}"`
  return ['WWW-Authenticate', `Bearer realm="infergate"${why}`]
}

// Each is made once: a refusal must not cost the stack trace of a new error.
const refused = (error: string, why: string) =>
  new GatewayError('unauthenticated', why, { fields: challenge(error, why) })

export const MISSING = new GatewayError(
  'unauthenticated',
  'this needs credentials: send "Authorization: Bearer" with a key or a token',
  { fields: challenge() },
)
export const REPEATED = refused('invalid_request', 'there are several credentials: send one')
export const MALFORMED = refused('invalid_request', 'Authorization must be Bearer with one key or token')
export const UNKNOWN = refused('invalid_token', 'this key or token is not known')
export const EXPIRED = refused('invalid_token', 'the token has expired')
export const INVALID = refused('invalid_token', 'the token is not valid here')
export const NAMELESS = refused('invalid_token', 'the credentials do not name exactly one tenant and subject')
export const DISAGREEING = refused('invalid_token', 'the credentials name different tenants')
export const UNCHECKED = new GatewayError('overloaded', 'the token cannot be checked now')

const denied = (why: string) =>
  new GatewayError('forbidden', why, { fields: challenge('insufficient_scope', why) })

export const FOREIGN_TENANT = denied('these credentials may not name this tenant')
export const NO_TENANT = denied('this tenant may have nothing here')
export const NO_MODEL = denied('this tenant may not use this model')
export const MODEL_UNKNOWN = denied(
  'this tenant may use some models only, and which one this is for is not known',
)
export const NO_MANAGEMENT = denied('calls that manage a model server do not pass this route')
