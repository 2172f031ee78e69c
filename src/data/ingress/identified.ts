/**
 * The caller of a request and the route that it matches. Both are decided once a head, and kept in its notes for as long as the
 * settings stay the same and the caller's credentials are valid.
 */
import { GatewayError } from '../../core/errors.ts'
import type { Authentication, Authenticator, AuthLive } from '../auth/authenticator.ts'
import { refusalOf } from '../auth/authorize.ts'
import { holdsAt, MISSING } from '../auth/proof.ts'
import { callIdentity } from '../decision/call-identity.ts'
import type { HeadNotes, HttpExchange, Refused } from '../exchange/exchange.ts'
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

/** The route that lets the call in, or why there is none. */
export type Admitted = Refused | { readonly matched: Matched; readonly refusal?: undefined }

/**
 * Finds the route, and keeps what was decided in the notes: for a caller who is refused nothing but the refusal, so that
 * no fast path of hits knows the head.
 */
export function routed(exchange: HttpExchange, live: AuthLive, authentication?: Authentication): Admitted {
  const { notes } = exchange
  const isKnown = notes.live === live && notes.authentication === authentication
  if (isKnown && notes.matched) return { matched: notes.matched }
  if (isKnown && notes.refused) return notes.refused
  const { method, target } = exchange
  const { path, query, host = exchange.host } = parseTarget(target)
  const { auth } = live
  const foreign = auth?.foreign(exchange)
  const headers = endToEnd(exchange.headers, foreign)
  const identity = authentication?.identity
  const matched = live.route({ method, path, host, headers, tenant: identity?.tenant })
  const refusal = matched
    ? authentication && refusalOf(authentication, matched)
    : notFound({ method, path }, auth, authentication)
  const refused = refusal && { matched, refusal }
  const decided: HeadNotes = { path, query, host, live, authentication, headers, withheld: foreign }
  Object.assign(notes, { ...UNDECIDED, ...decided, ...(refused ? { refused } : { matched }) })
  if (auth && identity && matched)
    Object.assign(notes, callIdentity(exchange.headers, matched, { auth, identity, foreign }))
  notes.share = notes.identity ? notes.identity.share : auth?.everybody
  return refused ?? { matched: matched as Matched }
}

/** What other settings, or another look at the credentials, decided before. */
const UNDECIDED = {
  matched: undefined,
  refused: undefined,
  identity: undefined,
  share: undefined,
  principal: undefined,
  decision: undefined,
  settled: undefined,
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
