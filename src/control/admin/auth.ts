/**
 * Authentication and authorization of the admin listener. Only hashes of tokens are known. Without tokens, only callers
 * on this machine are served, and the listener must be bound to a loopback address.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import { isLoopback } from '../../core/addresses.ts'
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
export type Scope = 'open' | 'metrics' | 'read' | 'register' | 'purge' | 'scale' | 'tenants'

export interface AdminCaller {
  readonly authorization: string | undefined
  /** The peer's address. */
  readonly peer: string | undefined
  readonly pool: string | undefined
}

interface Token {
  readonly digest: Buffer
  readonly name: string
  readonly scopes: ReadonlySet<string>
}

const SCOPE = /^(read|purge|scale|tenants|admin|register:(\*|[A-Za-z0-9._-]{1,128}))$/
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

  /** Authorizes the caller, or throws 401 or 403. Returns a name for the log: the token's, `local` or `open`. */
  check(scope: Scope, caller: AdminCaller): string {
    const isOpen = scope === 'open' || (scope === 'metrics' && this.#openMetrics)
    if (!this.hasTokens) {
      if (isLoopback(caller.peer ?? '')) return 'local'
      throw new Problem(403, 'without admin.tokens in the settings only callers on this machine are served')
    }
    if (isOpen) return 'open'
    const token = this.#find(caller.authorization)
    const needed =
      scope === 'register' ? `register:${caller.pool ?? ''}` : scope === 'metrics' ? 'read' : scope
    const { scopes } = token
    if (scopes.has('admin') || scopes.has(needed)) return token.name
    if (scope === 'register' && scopes.has('register:*')) return token.name
    throw new Problem(403, `this token lacks the scope "${needed}"`, {
      who: token.name,
      headers: {
        'www-authenticate': `Bearer realm="infergate", error="insufficient_scope", scope="${printable(needed)}"`,
      },
    })
  }

  #find(authorization: string | undefined): Token {
    const given = /^Bearer +([\x21-\x7e]{1,512})$/i.exec(authorization ?? '')?.[1]
    // Every token is compared, so that the time taken does not show which one matched.
    const digest = hash('sha256', given ?? '', 'buffer')
    let found: Token | undefined
    for (const token of this.#tokens) if (timingSafeEqual(token.digest, digest)) found = token
    if (given !== undefined && found) return found
    const why = given === undefined ? 'send "Authorization: Bearer TOKEN"' : 'this token is not known'
    const challenge = `Bearer realm="infergate"${given === undefined ? '' : ', error="invalid_token"'}`
    throw new Problem(401, why, { headers: { 'www-authenticate': challenge } })
  }
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
      `${where}.scopes must be of read, register:POOL, purge, scale, tenants, admin; found "${bad ?? ''}"`,
    )
  }
  return {
    digest: Buffer.from(hex, 'hex'),
    name: settings.name ?? hex.slice(0, 8),
    scopes: new Set(settings.scopes),
  }
}
