/** One issuer of tokens: its keys, the rules for its tokens, and the tokens that were verified. */
import { claimAt, claimWords, parseClaimPath } from '../../core/claim-path.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { Clock } from '../../lib/clock.ts'
import { Generations } from '../../lib/generations.ts'
import type { Semaphore } from '../../lib/semaphore.ts'
import { withTimeout } from '../../lib/with-timeout.ts'
import { glob } from '../route/glob.ts'
import type { Jose, TokenHeader, UnverifiedToken } from './jose.ts'
import {
  type Checked,
  EXPIRED,
  FOREIGN_TENANT,
  holdsAt,
  INVALID,
  isName,
  NAMELESS,
  type Proof,
  type Refusal,
  UNCHECKED,
} from './proof.ts'
import { type PublishedKey, PublishedKeys } from './published-keys.ts'

export interface IssuerSettings {
  readonly issuer: string
  readonly audience: readonly string[]
  /** Where its keys are: a URL or a path. */
  readonly jwks: string
  readonly algorithms: readonly string[]
  /** `claim.a.b`. */
  readonly tenant: string
  readonly subject: string
  /** The tenants that it may name; undefined: any. */
  readonly tenants?: readonly string[] | undefined
  /** The claim that grants something at the admin port; left out: none does. */
  readonly scopes?: string
  /** Milliseconds. */
  readonly clockTolerance: number
}

export interface IssuerParts {
  readonly clock: Clock
  /** Called with the place of a key set that lacks a key. Resolves when the set was read again, or was read just before. */
  readonly keyMissing: (jwks: string) => Promise<void>
  /** Verifies signatures, a few at a time. */
  readonly turns: Semaphore
}

interface Verified {
  readonly proof: Proof
  readonly key: PublishedKey
}

/** Tokens that are remembered; twice as many at most. Refused ones are apart: a flood of them must not oust the good. */
const VERIFIED = 8192
const REFUSED = 1024
/** Calls that wait for a missing key at a time; whoever comes behind them is refused at once. */
const MAX_WAITING = 32
const WAIT_MS = 1_000
/** A refused token is looked at again after this, since clocks move and keys come. */
const REFUSED_MS = 1_000

export class Issuer {
  readonly settings: IssuerSettings
  readonly keys = new PublishedKeys()
  readonly #parts: IssuerParts
  readonly #verified = new Generations<Verified>(VERIFIED)
  readonly #refusals = new Generations<Refusal>(REFUSED)
  #waiting = 0
  readonly #tenant: readonly string[]
  readonly #subject: readonly string[]
  readonly #scopes: readonly string[] | undefined

  constructor(settings: IssuerSettings, parts: IssuerParts) {
    this.settings = settings
    this.#parts = parts
    this.#tenant = parseClaimPath(settings.tenant) ?? []
    this.#subject = parseClaimPath(settings.subject) ?? []
    this.#scopes = settings.scopes === undefined ? undefined : parseClaimPath(settings.scopes)
  }

  /** What is known of a token that was seen: until it expires, and no longer than its key is published. */
  known(digest: Digest): Checked | undefined {
    const verified = this.#verified.get(digest)
    const found = verified?.key.isPublished ? verified.proof : this.#refusals.get(digest)
    return found && holdsAt(found, this.#parts.clock.wall()) ? found : undefined
  }

  /** Verifies a token that names this issuer, and remembers it. Never rejects. */
  async verify(jose: Jose, token: UnverifiedToken): Promise<Checked> {
    const found = this.#early(token) ?? (await this.#signed(jose, token))
    if ('refusal' in found) this.#refusals.set(token.digest, found)
    return found
  }

  /** What needs no signature to be refused, since it costs less. */
  #early({ header, claims }: UnverifiedToken): Refusal | undefined {
    const { algorithms, clockTolerance } = this.settings
    if (typeof header['alg'] !== 'string' || !algorithms.includes(header['alg']))
      return this.#refused(INVALID)
    const { exp } = claims
    if (typeof exp !== 'number') return this.#refused(INVALID)
    return exp * 1000 + clockTolerance <= this.#parts.clock.wall() ? this.#refused(EXPIRED) : undefined
  }

  async #signed(jose: Jose, token: UnverifiedToken): Promise<Checked> {
    for (const key of await this.#candidates(token.header)) {
      const claims = await this.#parts.turns.run(() => jose.verify(token.text, key.jwk, this.#rules()))
      if (claims === 'wrong key') continue
      if (claims === 'refused') break
      const found = this.#named(claims)
      if (!('refusal' in found)) this.#verified.set(token.digest, { proof: found, key })
      return found
    }
    return this.#refused(this.keys.isKnown ? INVALID : UNCHECKED)
  }

  #rules() {
    const { issuer, audience, algorithms, clockTolerance } = this.settings
    return {
      issuer,
      audience: [...audience],
      algorithms: [...algorithms],
      clockTolerance: clockTolerance / 1000,
      currentDate: new Date(this.#parts.clock.wall()),
    }
  }

  async #candidates({ kid }: TokenHeader): Promise<readonly PublishedKey[]> {
    const known = this.keys.candidates(kid)
    if (known.length > 0 || this.#waiting >= MAX_WAITING) return known
    const { clock, keyMissing } = this.#parts
    this.#waiting++
    try {
      await withTimeout(clock, keyMissing(this.settings.jwks), { ms: WAIT_MS, fallback: undefined })
    } finally {
      this.#waiting--
    }
    return this.keys.candidates(kid)
  }

  #named(claims: Readonly<Record<string, unknown>>): Checked {
    const { tenants } = this.settings
    const tenant = claimAt(claims, this.#tenant)
    const subject = claimAt(claims, this.#subject)
    if (tenant === undefined || subject === undefined || !isName(tenant) || !isName(subject))
      return this.#refused(NAMELESS)
    if (!mayName(tenants, tenant)) return this.#refused(FOREIGN_TENANT)
    const granted = this.#scopes && { scopes: claimWords(claims, this.#scopes) }
    const { exp, nbf } = claims as { readonly exp: number; readonly nbf?: number }
    const begun = nbf !== undefined && { since: nbf * 1000 - this.settings.clockTolerance }
    return { tenant, subject, ...begun, until: exp * 1000, ...granted }
  }

  #refused(refusal: GatewayError): Refusal {
    const since = this.#parts.clock.wall()
    return { refusal, since, until: since + REFUSED_MS }
  }
}

/** `patterns`: undefined: any tenant. */
export function mayName(patterns: readonly string[] | undefined, tenant: string): boolean {
  return patterns === undefined || patterns.some((pattern) => glob(pattern).test(tenant))
}
