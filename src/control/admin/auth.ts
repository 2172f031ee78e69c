/**
 * Authentication and authorization of the admin listener: by tokens, of which only hashes are known, and by the identities of callers, which
 * are found elsewhere and passed in. Without tokens, only callers on this machine are served, and the listener must be bound to a
 * loopback address.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { isLoopback } from '../../core/addresses.ts'
import type { GatewayError } from '../../core/errors.ts'
import { Problem } from './problem.ts'

/** `register:<pool>` (or `register:*`) covers the backends of a pool; `admin` covers everything. */
export interface TokenSettings {
  /** Who holds it, for the log; default: the first digits of the hash. */
  readonly name?: string | undefined
  /** `sha256:` and 64 hex digits of the token's bytes. */
  readonly hash: string
  readonly scopes: readonly string[]
}

/** What a route requires. `register` is completed with the pool of the path. */
export type Scope =
  | 'open'
  | 'metrics'
  | 'read'
  | 'register'
  | 'purge'
  | 'scale'
  | 'tenants'
  | 'traffic'
  | 'admin'

/** Who calls, and what for. */
export interface AdminCaller {
  /** For the log. */
  readonly name: string
  readonly scopes: ReadonlySet<string>
}

/** Whom the credentials of a request name, beside tokens; undefined: nobody is asked, or it has none. */
export type Identify = (request: IncomingMessage) => Promise<AdminCaller | GatewayError | undefined>

interface Token extends AdminCaller {
  readonly digest: Buffer
}

const SCOPE = /^(read|purge|scale|tenants|traffic|admin|register:(\*|[A-Za-z0-9._-]{1,128}))$/
const EMPTY = hash('sha256', '', 'hex')

export class Auth {
  readonly #tokens: readonly Token[]
  readonly #openMetrics: boolean

  /** Throws an Error that names the bad token entry and the fix. */
  constructor(tokens: readonly TokenSettings[], openMetrics: boolean) {
    this.#tokens = tokens.map(parseToken)
    this.#openMetrics = openMetrics
  }

  get hasTokens(): boolean {
    return this.#tokens.length > 0
  }

  /** Whoever needs no credentials: `local` or `open`; undefined: this call needs some. Throws 403. */
  withoutCredentials(scope: Scope, peer: string | undefined): AdminCaller | undefined {
    if (!this.hasTokens) {
      if (isLoopback(peer ?? '')) return LOCAL
      throw new Problem(403, 'without admin.tokens in the settings only callers on this machine are served')
    }
    return scope === 'open' || (scope === 'metrics' && this.#openMetrics) ? OPEN : undefined
  }

  /** Undefined: this is none of the tokens. */
  token(authorization: string | undefined): AdminCaller | undefined {
    const given = tokenIn(authorization)
    // Every token is compared, so that the time taken does not show which one matched.
    const digest = hash('sha256', given ?? '', 'buffer')
    let found: Token | undefined
    for (const token of this.#tokens) if (timingSafeEqual(token.digest, digest)) found = token
    return given === undefined ? undefined : found
  }

  /** Throws 403 where the caller lacks the scope. `pool`: of the path. */
  authorize(caller: AdminCaller, scope: Scope, pool: string | undefined): void {
    const needed = scope === 'register' ? `register:${pool ?? ''}` : scope === 'metrics' ? 'read' : scope
    const { name } = caller
    if (mayCall(caller, needed) || (scope === 'register' && caller.scopes.has('register:*'))) return
    throw new Problem(403, `the caller lacks the scope "${needed}"`, {
      who: name,
      headers: {
        'www-authenticate': `Bearer realm="infergate", error="insufficient_scope", scope="${printable(needed)}"`,
      },
    })
  }
}

/** Whether a caller has a scope, as the settings write it. */
export function mayCall({ scopes }: AdminCaller, scope: string): boolean {
  return scopes.has('admin') || scopes.has(scope)
}

const LOCAL: AdminCaller = { name: 'local', scopes: new Set(['admin']) }
const OPEN: AdminCaller = { name: 'open', scopes: new Set() }

/** Nobody knows the caller: `authorization` is none of the tokens, and names nobody. */
export function unknownCaller(authorization: string | undefined): Problem {
  const hasToken = tokenIn(authorization) !== undefined
  const why = hasToken ? 'this token is not known' : 'send "Authorization: Bearer TOKEN"'
  const challenge = `Bearer realm="infergate"${hasToken ? ', error="invalid_token"' : ''}`
  return new Problem(401, why, { headers: { 'www-authenticate': challenge } })
}

/** Longer than any signed token that is accepted. */
const BEARER = /^Bearer +([\x21-\x7e]{1,8192})$/i

function tokenIn(authorization: string | undefined): string | undefined {
  return BEARER.exec(authorization ?? '')?.[1]
}

/** Whether there is such a scope. */
export function isScope(word: string): boolean {
  return SCOPE.test(word)
}

/** For a quoted string of a header field (RFC 9110, section 5.6.4), whoever has written it. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]|["\\]/g, '?').slice(0, 256)
}

/** The hash to put into the settings for a token. */
export function tokenHash(token: string): string {
  return `sha256:${hash('sha256', token, 'hex')}`
}

/** Why a listener must not be opened at this address, as a sentence with the fix; undefined where it may. */
export function listenRefusal(host: string, hasTokens: boolean): string | undefined {
  if (hasTokens || host === 'localhost' || isLoopback(host.replace(/^\[|\]$/g, ''))) return undefined
  return (
    `the admin listener on ${host} would be open to the network without a token: ` +
    'listen on 127.0.0.1, or give admin.tokens with at least one {hash, scopes}'
  )
}

function parseToken(settings: TokenSettings, index: number): Token {
  const hex = /^sha256:([0-9a-f]{64})$/i.exec(settings.hash)?.[1]?.toLowerCase()
  const where = `admin.tokens[${index}]`
  if (hex === undefined || hex === EMPTY) {
    throw new Error(
      `${where}.hash must be "sha256:" and the 64 hex digits of: printf %s "$TOKEN" | sha256sum`,
    )
  }
  const bad = settings.scopes.find((scope) => !SCOPE.test(scope))
  if (bad !== undefined || settings.scopes.length === 0) {
    throw new Error(
      `${where}.scopes must be of read, register:POOL, purge, scale, tenants, traffic, admin; found "${bad ?? ''}"`,
    )
  }
  return {
    digest: Buffer.from(hex, 'hex'),
    name: settings.name ?? hex.slice(0, 8),
    scopes: new Set(settings.scopes),
  }
}
