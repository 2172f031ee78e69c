/**
 * The caller of a request and the route that it matches. Both are decided once a head, and kept in its notes for as long as the
 * settings stay the same and the caller's credentials are valid.
 */
import { GatewayError } from '../../core/errors.ts'
import type { Authentication, Authenticator, AuthLive } from '../auth/authenticator.ts'
import { refusalOf } from '../auth/authorize.ts'
import { holdsAt, MISSING } from '../auth/proof.ts'
import { callIdentity } from '../decision/call-identity.ts'
import type { HeadNotes, HttpExchange } from '../exchange/exchange.ts'
import { endToEnd } from '../http/headers.ts'
import type { Matched } from '../route/routes.ts'
import { parseTarget } from '../route/target.ts'

/** Who sends the request; a promise if a token is new; undefined: nobody is asked. `wall`: milliseconds. */
export function authenticate(
  exchange: HttpExchange,
  live: AuthLive,
  wall: number,
): Authentication | Promise<Authentication> | undefined {
  const { authentication, live: decidedUnder } = exchange.notes
  if (authentication && decidedUnder === live && holdsAt(authentication, wall)) return authentication
  return live.auth?.identify(exchange.headers, exchange)
}

/** The route, and why the call is refused there. */
export interface Admitted {
  readonly matched: Matched
  readonly refusal: GatewayError | undefined
}

/**
 * Finds the route, and keeps what was decided in the notes: for a caller who is refused nothing but the refusal, so that
 * no fast path knows the head. Throws `unknownRoute`, or a refusal where no route matches.
 */
export function routed(exchange: HttpExchange, live: AuthLive, authentication?: Authentication): Admitted {
  const { notes } = exchange
  const isKnown = notes.live === live && notes.authentication === authentication
  if (isKnown && notes.matched) return { matched: notes.matched, refusal: undefined }
  if (isKnown && notes.refused) return notes.refused
  const { method, target } = exchange
  const { path, query, host = exchange.host } = parseTarget(target)
  const foreign = live.auth?.foreign(exchange)
  const arrived = endToEnd(exchange.headers, foreign)
  const tenant = authentication?.identity?.tenant
  const matched = live.route({ method, path, host, headers: arrived, tenant })
  if (!matched) throw notFound({ method, path }, live.auth, authentication)
  const refusal = authentication && refusalOf(authentication, matched)
  const refused = refusal && { matched, refusal }
  const decided: HeadNotes = { path, query, host, live, authentication, headers: arrived, withheld: foreign }
  Object.assign(notes, { ...UNDECIDED, ...decided, ...(refused ? { refused } : { matched }) })
  const { auth } = live
  const identity = authentication?.identity
  if (auth && identity)
    Object.assign(notes, callIdentity(exchange.headers, matched, { auth, identity, foreign }))
  notes.share = notes.identity ? notes.identity.share : auth?.everybody
  return refused ?? { matched, refusal: undefined }
}

/** What other settings, or another look at the credentials, decided before. */
const UNDECIDED = {
  matched: undefined,
  refused: undefined,
  identity: undefined,
  share: undefined,
  principal: undefined,
  decision: undefined,
}

/** Only who is let in is told which paths there are. */
function notFound(
  { method, path }: { method: string; path: string },
  auth: Authenticator | undefined,
  authentication: Authentication | undefined,
): GatewayError {
  if (authentication?.refusal) return authentication.refusal
  if (auth?.isRequired && authentication?.identity?.tenant === '') return MISSING
  return new GatewayError('unknownRoute', `no route matches ${method} ${path}`)
}
