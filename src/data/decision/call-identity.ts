/** What the identity of a caller makes of its call: the caller in keys, and the fields that go on to a backend. */
import type { RawPairs } from '../../core/call.ts'
import type { FieldTable } from '../../core/fields.ts'
import type { Identity } from '../../core/identity.ts'
import type { Authenticator } from '../auth/authenticator.ts'
import { isAsked } from '../auth/authorize.ts'
import { endToEnd } from '../http/headers.ts'
import { principalOf } from '../key/meaning.ts'
import { isOpen, type Matched } from '../route/routes.ts'

export interface CallIdentity {
  readonly identity: Identity
  readonly principal: string
  readonly headers: RawPairs
  /** Fields that are not among `headers`, whatever the caller sends; undefined: none. */
  readonly withheld: FieldTable<true> | undefined
}

/** Undefined: the route asks nobody, and credentials are as without identities. `foreign`: fields that are taken away anyhow. */
export function callIdentity(
  headers: RawPairs,
  matched: Matched,
  {
    auth,
    identity,
    foreign,
  }: { auth: Authenticator; identity: Identity; foreign: FieldTable<true> | undefined },
): CallIdentity | undefined {
  const isNamed = isOpen(matched) ? matched.candidates.some(isAsked) : isAsked(matched)
  if (!isNamed) return undefined
  const withheld = auth.stripped ?? foreign
  const own = endToEnd(headers, withheld)
  const others = auth.stripped ? '' : principalOf(unproved(own, auth))
  return { identity, principal: identity.principal + others, headers: own, withheld }
}

/** The fields without those that the identity stands for: a backend that gets the others may answer by them. */
function unproved(headers: RawPairs, { verified }: Authenticator): RawPairs {
  return headers.filter((_, i) => !verified.get(headers[i & ~1] as string))
}
