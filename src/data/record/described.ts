/** What the prediction log says of a call and its answer, beside the two bodies. */
import { type Call, type RawPairs } from '../../core/call.ts'
import { CHOOSING_FIELDS, CREDENTIAL_FIELDS, FieldTable, folded } from '../../core/fields.ts'
import { decoded } from '../../core/path.ts'
import type { PredictionHead } from '../../core/prediction.ts'
import type { Answer, Outcome } from '../../core/reply.ts'
import { spokenStatus } from '../../protocol/grpc/status.ts'
import type { Matched } from '../route/routes.ts'

/** Fields that say how a body is to be read. */
const BODY_FIELDS = ['content-type', 'content-encoding', 'grpc-encoding', 'inference-header-content-length']

type FieldUse = 'secret' | 'request' | 'both'

const USES = new FieldTable<FieldUse>([
  ...[...CHOOSING_FIELDS, 'accept', 'accept-encoding', 'origin'].map((name) => [name, 'request'] as const),
  ...BODY_FIELDS.map((name) => [name, 'both'] as const),
  ...CREDENTIAL_FIELDS.map((name) => [name, 'secret'] as const),
])

export function described(
  call: Call,
  { route, protocol, target }: Matched,
  { reply, outcome }: Answer,
  wall: number,
): PredictionHead {
  return {
    time: new Date(wall).toISOString(),
    requestId: call.id,
    route: route.name,
    protocol: protocol.name,
    verb: target.verb,
    model: target.model,
    version: target.version,
    method: call.method,
    path: call.askedPath ?? call.path,
    query: withoutSecrets(call.query),
    principal: call.principal,
    headers: requestFields(call.headers, new Set(route.cache?.vary?.map(folded))),
    status: spokenStatus(reply),
    answerHeaders: pick(reply.headers, (name) => USES.get(name) === 'both'),
    ...cacheFacts(outcome),
  }
}

/** The fields of the key and those needed to read the bodies; `named`: folded names of further ones. A field with a credential is left out even where `vary` names it. */
export function requestFields(headers: RawPairs, named: ReadonlySet<string>): RawPairs {
  return pick(headers, (name) => {
    const use = USES.get(name)
    return use === undefined ? named.has(folded(name.toLowerCase())) : use !== 'secret'
  })
}

function pick(headers: RawPairs, isWanted: (name: string) => boolean): RawPairs {
  const picked: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (isWanted(name)) picked.push(name.toLowerCase(), headers[i + 1] as string)
  }
  return picked
}

/** Some servers take a key or token as a parameter. */
const SECRET_PARAMETER =
  /^(?:.*(?:key|token|secret|passw(?:or)?d|pwd|signature|credential)|auth|bearer|hmac|jwt|sig|sso)(?:\[\])?$/is
/** The name of a parameter; some servers take ";" for "&". */
const NAME = /(?:^|;)([^=;]*)=/g

/** The query with what may be a key or token masked. */
export function withoutSecrets(query: string): string {
  return query === '' ? '' : `?${query.slice(1).split('&').map(withoutSecret).join('&')}`
}

/** `pair`: what stands between two "&"; after a secret name all of it may be the secret. */
function withoutSecret(pair: string): string {
  for (const { 0: found, 1: name = '', index } of pair.matchAll(NAME)) {
    if (SECRET_PARAMETER.test(decoded(name) ?? name)) return `${pair.slice(0, index + found.length)}***`
  }
  return pair
}

function cacheFacts(outcome: Outcome): Pick<PredictionHead, 'cache' | 'tier' | 'rows'> {
  switch (outcome.kind) {
    case 'hit':
    case 'stale':
      return { cache: outcome.kind, tier: outcome.tier }
    case 'partial':
      return { cache: 'partial', rows: outcome.rows }
    case 'miss':
      return { cache: outcome.collapsed ? 'collapsed' : 'miss' }
    default:
      return { cache: outcome.kind }
  }
}
