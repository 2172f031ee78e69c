/** The credentials in the header fields of a request. */
import type { RawPairs } from '../../core/call.ts'
import type { GatewayError } from '../../core/errors.ts'
import { FieldTable } from '../../core/fields.ts'
import { MALFORMED, REPEATED } from './proof.ts'

/** What a field of a request may prove. */
type Role = 'bearer' | 'key' | 'tenant' | 'subject'

export interface Presented {
  /** A key or token; undefined: none. */
  readonly secret: string | undefined
  /** What a trusted proxy says. */
  readonly tenant: string | undefined
  readonly subject: string | undefined
}

export interface IdentityFields {
  /** Whether keys or tokens are known, so that the fields in which they come are read. */
  readonly hasSecrets: boolean
  /** The fields of trusted proxies, lower case. */
  readonly tenant?: string | undefined
  readonly subject?: string | undefined
}

/** Where keys and tokens come. */
export const SECRET_FIELDS: readonly string[] = ['authorization', 'x-api-key', 'api-key']

const BEARER = /^bearer +/i
const NONE: Presented = { secret: undefined, tenant: undefined, subject: undefined }

/** Reads credentials; each kind at most once, and in the one spelling that no server takes for another field. */
export class CredentialReader {
  readonly #roles: FieldTable<Role>
  /** Of the proxy's fields, which do not count. */
  readonly #untrusted: FieldTable<Role>

  constructor({ hasSecrets, tenant, subject }: IdentityFields) {
    const roleOf = (name: string): Role => (name === 'authorization' ? 'bearer' : 'key')
    const secrets = hasSecrets ? SECRET_FIELDS.map((name) => [name, roleOf(name)] as const) : []
    this.#untrusted = new FieldTable(secrets)
    this.#roles = new FieldTable([
      ...secrets,
      ...(tenant === undefined ? [] : [[tenant, 'tenant'] as const]),
      ...(subject === undefined ? [] : [[subject, 'subject'] as const]),
    ])
  }

  /** `isTrusted`: the client is a trusted proxy. */
  read(headers: RawPairs, isTrusted: boolean): Presented | GatewayError {
    const roles = isTrusted ? this.#roles : this.#untrusted
    let found: { -readonly [K in keyof Presented]: Presented[K] } | undefined
    let authorizations = 0
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] as string
      const role = roles.get(name)
      if (role === undefined) continue
      // "X_Api_Key" is another field to some servers and this one to others.
      if (name.includes('_')) return REPEATED
      found ??= { ...NONE }
      const value = headers[i + 1] as string
      if (role === 'tenant' || role === 'subject') {
        if (found[role] !== undefined) return REPEATED
        found[role] = value
        continue
      }
      if (role === 'bearer' && ++authorizations > 1) return REPEATED
      const secret = role === 'key' ? value : bearerOf(value)
      if (secret === undefined || secret === '') return MALFORMED
      // Some clients send the same key in two fields.
      if (found.secret !== undefined && found.secret !== secret) return REPEATED
      found.secret = secret
    }
    return found ?? NONE
  }
}

/** The key or token; undefined: there is none, or there are several. A pattern for its letters would cost as much as its digest. */
function bearerOf(value: string): string | undefined {
  const scheme = BEARER.exec(value)?.[0]
  if (scheme === undefined) return undefined
  const secret = value.slice(scheme.length)
  return secret.includes(' ') ? undefined : secret
}
