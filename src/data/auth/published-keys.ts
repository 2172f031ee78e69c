/** The public keys of one issuer as it publishes them (a JWK Set, RFC 7517). */
import { lastOf } from '../../lib/memo.ts'

/** A public key as plain data; what it may be used for is judged where it is used. */
export type PublicJwk = Readonly<Record<string, unknown>>

export interface PublishedKey {
  readonly jwk: PublicJwk
  /** False from when the issuer no longer publishes it. */
  isPublished: boolean
}

/** Tokens without a `kid`, or under a key without one, are tried with at most so many keys. */
const MAX_TRIED = 8

export class PublishedKeys {
  #keys: readonly PublishedKey[] = []
  /** False: the set was never read. */
  isKnown = false

  /** Takes over what the issuer publishes now. Keys that were there before stay the same objects. */
  publish = lastOf((jwks: readonly PublicJwk[] | undefined): void => {
    if (!jwks) return
    this.isKnown = true
    const before = new Map(this.#keys.map((key) => [JSON.stringify(key.jwk), key]))
    const now = jwks.map((jwk) => before.get(JSON.stringify(jwk)) ?? { jwk, isPublished: true })
    for (const key of this.#keys) key.isPublished = now.includes(key)
    this.#keys = now
  })

  /** The keys that may have signed a token with this `kid`. */
  candidates(kid: unknown): readonly PublishedKey[] {
    const fits = ({ jwk }: PublishedKey) =>
      kid === undefined || jwk['kid'] === undefined || jwk['kid'] === kid
    return this.#keys.filter(fits).slice(0, MAX_TRIED)
  }
}
