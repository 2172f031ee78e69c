/**
 * Callers of the data port at the admin port: the same credentials, checked by the same code, and what the settings grant to whom they
 * name. Proxies are not trusted here: an operator comes directly.
 */
import type { IncomingMessage } from 'node:http'
import { BlockList } from 'node:net'
import type { Settings } from '../config/schema.ts'
import { type AdminCaller, type Identify, isScope } from '../control/admin/auth.ts'
import type { Identity } from '../core/identity.ts'
import { Authenticator, type Credentials, NO_CREDENTIALS } from '../data/auth/authenticator.ts'
import { clientCertificate } from '../data/ingress/client-certificate.ts'
import type { Clock } from '../lib/clock.ts'

interface AdminCallersParts {
  readonly settings: Settings
  readonly clock: Clock
  readonly keyMissing: (jwks: string) => Promise<void>
}

/** A word that other programs may use for themselves grants nothing here. */
const PREFIX = 'infergate:'

export class AdminCallers {
  readonly #parts: AdminCallersParts
  #settings: Settings
  #credentials = NO_CREDENTIALS
  /** Undefined: nobody is asked. */
  #auth: Authenticator | undefined

  constructor(parts: AdminCallersParts) {
    this.#parts = parts
    this.#settings = parts.settings
    this.#auth = this.#authenticator()
  }

  /** Takes over the grants and credentials of the settings. */
  follow(settings: Settings): void {
    this.#settings = settings
    this.#auth = this.#authenticator()
  }

  /** Takes over the credentials that do not stand in the settings. */
  credentials(credentials: Credentials): void {
    this.#credentials = credentials
    this.#auth = this.#authenticator()
  }

  readonly identify: Identify = async (request: IncomingMessage) => {
    const { socket, rawHeaders } = request
    const certificate = clientCertificate(socket)
    const found = await this.#auth?.identify(rawHeaders, { peer: socket.remoteAddress ?? '', certificate })
    if (found?.refusal) return found.refusal
    // Who has no credentials at all is anonymous, which is nobody here.
    return found?.identity && found.identity.tenant !== '' ? this.#holder(found.identity) : undefined
  }

  #holder({ tenant, subject, scopes = [] }: Identity): AdminCaller {
    const { grants = [] } = this.#settings.admin.auth ?? {}
    const granted = grants
      .filter((grant) => grant.tenant === tenant && (grant.subject ?? subject) === subject)
      .flatMap((grant) => grant.scopes)
    const claimed = scopes
      .filter((word) => word.startsWith(PREFIX))
      .map((word) => word.slice(PREFIX.length))
      .filter(isScope)
    return { name: `${tenant}/${subject}`, scopes: new Set([...granted, ...claimed]) }
  }

  #authenticator(): Authenticator | undefined {
    const { auth, admin } = this.#settings
    if (!auth || !admin.auth) return undefined
    const { claim } = admin.auth
    const jwt = auth.jwt.map((issuer) => ({ ...issuer, ...(claim === undefined ? {} : { scopes: claim }) }))
    return new Authenticator({
      ...this.#parts,
      settings: { ...auth, jwt, trustedProxies: undefined, required: true },
      credentials: this.#credentials,
      policies: undefined,
      proxies: new BlockList(),
      previous: this.#auth,
    })
  }
}
