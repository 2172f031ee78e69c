/**
 * Who sends a request: the one place where credentials become an identity. The doors ask it with each head they have not seen;
 * what they remember of a head holds until a time that is compared at each call.
 *
 *   key or token ─┐
 *   proxy's field ├─ all that are there name one tenant ─ the tenant may have something ─ identity
 *   certificate  ─┘
 */
import { type BlockList, isIP } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import type { RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { CREDENTIAL_FIELDS, FieldTable } from '../../core/fields.ts'
import { type Identity, partiesOf, principalFor } from '../../core/identity.ts'
import { type Digest, digestOf } from '../../core/key.ts'
import type { PeerCertificate } from '../../core/peer-certificate.ts'
import { EVERYBODY, type TenantShare } from '../../core/tenant-share.ts'
import type { Clock } from '../../lib/clock.ts'
import { Generations } from '../../lib/generations.ts'
import { Semaphore } from '../../lib/semaphore.ts'
import type { Live } from '../route/routes.ts'
import { type ApiKey, ApiKeys } from './api-keys.ts'
import { type CertificateName, certificateName } from './certificate-names.ts'
import { Issuer, type IssuerParts, type IssuerSettings, mayName } from './issuer.ts'
import type { TenantPolicies } from './policies.ts'
import { CredentialReader, SECRET_FIELDS } from './presented.ts'
import {
  type Checked,
  DISAGREEING,
  FOREIGN_TENANT,
  isName,
  MISSING,
  NAMELESS,
  NO_TENANT,
  type Proof,
  type Validity,
} from './proof.ts'
import type { PublicJwk } from './published-keys.ts'
import { Tokens } from './tokens.ts'

export interface AuthSettings {
  readonly keys: readonly ApiKey[]
  readonly jwt: readonly IssuerSettings[]
  readonly mtls?: NamedBy<CertificateName> | undefined
  readonly trustedProxies?: NamedBy<string> | undefined
  /** The caller's credentials go on to the backend. */
  readonly forward: boolean
  /** For calls that no route takes; otherwise it is the route's. */
  readonly required: boolean
}

/** Where tenant and subject stand: in which name of a certificate, or in which header field. */
interface NamedBy<Place> {
  readonly tenant: Place
  /** Left out: the tenant is the subject as well. */
  readonly subject?: Place | undefined
  /** The tenants that may be named; left out: any. */
  readonly tenants?: readonly string[] | undefined
}

/** Credentials that come from elsewhere than the settings, as plain data. */
export interface Credentials {
  /** Those of the file with further keys. */
  readonly keys: readonly ApiKey[]
  /** Public keys of issuers, by the place that the settings name. */
  readonly jwks: Readonly<Record<string, readonly PublicJwk[]>>
}

export const NO_CREDENTIALS: Credentials = { keys: [], jwks: {} }

export interface AuthenticatorParts extends Pick<IssuerParts, 'keyMissing'> {
  readonly settings: AuthSettings
  readonly credentials: Credentials
  /** Undefined: no tenant is limited. */
  readonly policies: TenantPolicies | undefined
  /** Addresses of the trusted proxies. */
  readonly proxies: BlockList
  readonly clock: Clock
  /** The one before a reload: what it has verified stays verified. */
  readonly previous?: Authenticator | undefined
}

/** The other end of a connection. */
export interface Client {
  readonly peer: string
  readonly certificate?: PeerCertificate | undefined
}

/** Who sends a request, or why it is refused. While it holds it is the same for equal heads of equal clients. */
export interface Authentication extends Validity {
  readonly identity: Identity | undefined
  readonly refusal: GatewayError | undefined
}

/** Settings that may change while calls run, with those of callers. */
export interface AuthLive extends Live {
  /** Left out: nobody is asked who they are. */
  readonly auth?: Authenticator | undefined
}

/** Signatures are verified by the threads of the pool that files and names need as well. */
const VERIFIED_AT_ONCE = 4
/** Secrets whose digests are remembered, twice as many at most, and how long one may be. */
const DIGESTS = 1024
const MAX_REMEMBERED = 2048

export class Authenticator {
  /** Fields that no backend gets, and on which no answer depends; undefined: they are forwarded. */
  readonly stripped: FieldTable<true> | undefined
  /** Fields that are taken away unless a trusted proxy sends them; undefined: there are none. */
  readonly #foreign: FieldTable<true> | undefined
  /** Fields that are covered by the identity that they prove, and need not be in keys. */
  readonly verified: FieldTable<true>
  /** The names of the proxies' fields, on which decisions about a head depend. */
  readonly fields: readonly string[]
  readonly #parts: AuthenticatorParts
  readonly #issuers: readonly Issuer[]
  readonly #keys: ApiKeys
  readonly #tokens: Tokens
  readonly #reader: CredentialReader
  /**
   * The digests of good keys and tokens that came: a look-up costs a fifth of a SHA-256. Wrong ones are not in it, and oust none. What
   * it compares first are hashes whose seed is the process's own, so its time tells no more of a secret than that of a digest.
   */
  readonly #digests = new Generations<Digest>(DIGESTS)
  /** By the proof of a key or token, which is the same object whenever that comes. */
  readonly #proved = new WeakMap<Proof, Authentication>()

  constructor(parts: AuthenticatorParts) {
    const { settings, credentials, previous, clock } = parts
    const { tenant, subject } = settings.trustedProxies ?? {}
    this.fields = [tenant, subject].filter((name) => name !== undefined)
    this.#parts = parts
    this.#issuers = settings.jwt.map((issuer) => previous?.issuer(issuer) ?? newIssuer(issuer, parts))
    for (const { keys, settings: issuer } of this.#issuers) keys.publish(credentials.jwks[issuer.jwks])
    this.#keys = new ApiKeys([...settings.keys, ...credentials.keys])
    this.#tokens = new Tokens(this.#issuers, clock)
    const hasSecrets = settings.keys.length + credentials.keys.length + settings.jwt.length > 0
    this.#reader = new CredentialReader({ hasSecrets, tenant, subject })
    this.stripped = settings.forward ? undefined : tableOf([...CREDENTIAL_FIELDS, ...this.fields])
    this.#foreign = this.fields.length === 0 ? undefined : tableOf(this.fields)
    this.verified = tableOf([...(hasSecrets ? SECRET_FIELDS : []), ...this.fields])
  }

  /** Whether a call that no route takes needs an identity, to be told so. */
  get isRequired(): boolean {
    return this.#parts.settings.required
  }

  /** By whose share the callers of a route wait that asks nobody; undefined: there are no tenants. */
  get everybody(): TenantShare | undefined {
    return this.#parts.policies && EVERYBODY
  }

  /** An issuer with these very settings, which may have verified tokens already. */
  issuer(settings: IssuerSettings): Issuer | undefined {
    return this.#issuers.find((issuer) => isDeepStrictEqual(issuer.settings, settings))
  }

  /** Whether a connection itself may prove something. */
  get asksClients(): boolean {
    return this.fields.length > 0 || this.#parts.settings.mtls !== undefined
  }

  /** Clients of one kind are the same to `identify`; the empty string: those that prove nothing by their connection. */
  kindOf(client: Client): string {
    const { mtls } = this.#parts.settings
    const fingerprint = mtls && client.certificate ? client.certificate.fingerprint : ''
    return this.#isTrusted(client) ? `proxy ${fingerprint}` : fingerprint
  }

  /** The fields that are taken away from this client's requests before anything is decided; undefined: none. */
  foreign(client: Client): FieldTable<true> | undefined {
    return this.#foreign && !this.#isTrusted(client) ? this.#foreign : undefined
  }

  /** `headers`: all fields, as received. */
  identify(headers: RawPairs, client: Client): Authentication | Promise<Authentication> {
    const isTrusted = this.#isTrusted(client)
    const presented = this.#reader.read(headers, isTrusted)
    if (presented instanceof GatewayError) return refuse(presented)
    const { secret, tenant, subject } = presented
    // The certificate of a proxy that passes on an identity is the proxy's own.
    const connection = tenant === undefined ? this.#certified(client) : this.#proxied(tenant, subject)
    if (secret === undefined) return this.#settled(connection, undefined)
    const known = this.#digests.get(secret)
    const digest = known ?? digestOf(secret)
    const checked = this.#keys.find(digest) ?? this.#tokens.check(secret, digest)
    if (known === undefined && 'tenant' in checked && secret.length <= MAX_REMEMBERED)
      this.#digests.set(secret, digest)
    return checked instanceof Promise
      ? checked.then((later) => this.#settled(later, connection))
      : this.#settled(checked, connection)
  }

  /**
   * The caller of a call that was kept, by its principal. Undefined: what its backend was shown of the caller is not in the
   * principal alone.
   */
  recorded(principal: string): Authentication | undefined {
    if (principal === '') return this.#anonymous()
    const parties = this.stripped && partiesOf(principal)
    return parties && this.#provedBy({ ...parties, until: Number.POSITIVE_INFINITY })
  }

  /** `first` names the subject. */
  #settled(first: Checked | undefined, second: Checked | undefined): Authentication {
    if (first === undefined) return this.#anonymous()
    if ('refusal' in first) return { identity: undefined, ...first }
    if (second && 'refusal' in second) return refuse(second.refusal)
    if (second && second.tenant !== first.tenant) return refuse(DISAGREEING)
    const known = this.#proved.get(first)
    if (known) return known
    const proved = this.#provedBy(first)
    this.#proved.set(first, proved)
    return proved
  }

  #provedBy({ tenant, subject, since, until, scopes }: Proof): Authentication {
    const { policies } = this.#parts
    const policy = policies?.of(tenant)
    if (policies && !policy) return refuse(NO_TENANT)
    const principal = principalFor(tenant, subject)
    const share = policy && policies?.shareOf(tenant, policy)
    const identity = { tenant, subject, principal, policy, share, ...(scopes && { scopes }) }
    return { identity, refusal: undefined, ...(since !== undefined && { since }), until }
  }

  #anonymous(): Authentication {
    const { policies } = this.#parts
    const policy = policies?.of('*')
    if (policies && !policy) return refuse(MISSING)
    const share = policy && policies?.shareOf('', policy)
    const identity = { tenant: '', subject: '', principal: '', policy, share }
    return { identity, refusal: undefined, until: Number.POSITIVE_INFINITY }
  }

  #certified({ certificate }: Client): Checked | undefined {
    const { mtls } = this.#parts.settings
    if (!mtls || !certificate) return undefined
    const tenant = certificateName(certificate, mtls.tenant)
    const subject = mtls.subject === undefined ? tenant : certificateName(certificate, mtls.subject)
    return proofOf(tenant, subject, mtls.tenants)
  }

  #proxied(tenant: string, subject: string | undefined): Checked {
    const { trustedProxies } = this.#parts.settings
    return proofOf(tenant, trustedProxies?.subject === undefined ? tenant : subject, trustedProxies?.tenants)
  }

  #isTrusted({ peer }: Client): boolean {
    const family = this.fields.length === 0 ? 0 : isIP(peer)
    return family !== 0 && this.#parts.proxies.check(peer, family === 6 ? 'ipv6' : 'ipv4')
  }
}

function newIssuer(settings: IssuerSettings, { clock, keyMissing }: AuthenticatorParts): Issuer {
  return new Issuer(settings, { clock, keyMissing, turns: TURNS })
}

const TURNS = new Semaphore(VERIFIED_AT_ONCE)

function proofOf(
  tenant: string | undefined,
  subject: string | undefined,
  bounds: readonly string[] | undefined,
): Checked {
  const until = Number.POSITIVE_INFINITY
  if (tenant === undefined || subject === undefined || !isName(tenant) || !isName(subject))
    return { refusal: NAMELESS, until }
  return mayName(bounds, tenant)
    ? ({ tenant, subject, until } satisfies Proof)
    : { refusal: FOREIGN_TENANT, until }
}

function refuse(refusal: GatewayError): Authentication {
  return { identity: undefined, refusal, until: Number.POSITIVE_INFINITY }
}

function tableOf(names: readonly string[]): FieldTable<true> {
  return new FieldTable(names.map((name) => [name, true]))
}
