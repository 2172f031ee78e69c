/** Whether a caller may make a call, by the route and what its tenant may have. Limits are counted elsewhere: `decision/admission.ts`. */
import type { GatewayError } from '../../core/errors.ts'
import type { Identity } from '../../core/identity.ts'
import { isOpen, type Matched } from '../route/routes.ts'
import type { Authentication } from './authenticator.ts'
import { MISSING, MODEL_UNKNOWN, NO_MANAGEMENT, NO_MODEL } from './proof.ts'

/** Whether the caller of a route is asked who it is. */
export function isAsked({ route }: Matched): boolean {
  return route.auth !== undefined && route.auth !== 'off'
}

/**
 * Why the call is refused; undefined: it is not. While only the body names the model, what all candidates refuse is refused;
 * the rest is asked again once the route is settled.
 */
export function refusalOf(authentication: Authentication, matched: Matched): GatewayError | undefined {
  if (!isOpen(matched)) return refusalAt(authentication, matched, true)
  const refusals = matched.candidates.map((candidate) => refusalAt(authentication, candidate, false))
  return refusals.every((refusal) => refusal !== undefined) ? refusals[0] : undefined
}

function refusalAt(
  { identity, refusal }: Authentication,
  matched: Matched,
  isModelKnown: boolean,
): GatewayError | undefined {
  const { route, target } = matched
  if (!isAsked(matched)) return undefined
  if (!identity) return refusal
  if (identity.tenant === '' && route.auth === 'required') return MISSING
  if (target.manages && !route.manage) return NO_MANAGEMENT
  const { mayUse } = identity.policy ?? {}
  if (!mayUse || !isModelKnown || target.verb === 'health') return undefined
  if (target.model !== undefined) return mayUse(target.model) ? undefined : NO_MODEL
  // A list is made of the models that the tenant may use.
  if (target.gathers) return undefined
  return route.models === 'any' ? undefined : MODEL_UNKNOWN
}

/** Whether the route is shown to a caller that another route has let in. */
export function isShown({ route }: Matched, identity: Identity | undefined): boolean {
  return route.auth !== 'required' || (identity !== undefined && identity.tenant !== '')
}
