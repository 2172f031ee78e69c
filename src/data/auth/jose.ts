/** Signatures of JSON Web Tokens (RFC 7519), by jose. It is loaded with the first token. */
import type * as JoseModule from 'jose'
import type { Digest } from '../../core/key.ts'
import type { PublicJwk } from './published-keys.ts'

export type TokenClaims = Readonly<Record<string, unknown>>
export type TokenHeader = Readonly<Record<string, unknown>>

/** A token whose signature nobody has looked at. */
export interface UnverifiedToken {
  readonly text: string
  readonly digest: Digest
  readonly header: TokenHeader
  readonly claims: TokenClaims
}

export interface Jose {
  /** Undefined: it is no token. */
  decode(text: string): Pick<UnverifiedToken, 'header' | 'claims'> | undefined
  /** The claims; or that this key has not signed it, or that the claims are not as they must be. Never rejects. */
  verify(
    text: string,
    jwk: PublicJwk,
    options: JoseModule.JWTVerifyOptions,
  ): Promise<TokenClaims | 'wrong key' | 'refused'>
}

type Module = typeof JoseModule

let loading: Promise<Jose> | undefined

export function loadJose(): Promise<Jose> {
  loading ??= import('jose').then((jose) => ({
    decode: (text) => decode(jose, text),
    verify: (text, jwk, options) => verify(jose, { text, jwk, options }),
  }))
  return loading
}

function decode(jose: Module, text: string): Pick<UnverifiedToken, 'header' | 'claims'> | undefined {
  try {
    return { header: jose.decodeProtectedHeader(text), claims: jose.decodeJwt(text) }
  } catch {
    return undefined
  }
}

interface Verification {
  readonly text: string
  readonly jwk: PublicJwk
  readonly options: JoseModule.JWTVerifyOptions
}

/** A set of one key: jose picks a key by all that the JWK says of its use, and imports it once. */
const sets = new WeakMap<PublicJwk, ReturnType<Module['createLocalJWKSet']>>()

const OTHER_KEY = new Set(['ERR_JWS_SIGNATURE_VERIFICATION_FAILED', 'ERR_JWKS_NO_MATCHING_KEY'])

async function verify(
  { createLocalJWKSet, jwtVerify }: Module,
  { text, jwk, options }: Verification,
): Promise<TokenClaims | 'wrong key' | 'refused'> {
  try {
    const set = sets.get(jwk) ?? createLocalJWKSet({ keys: [jwk] })
    sets.set(jwk, set)
    const { payload } = await jwtVerify(text, set, { ...options, requiredClaims: ['exp'] })
    return payload
  } catch (error) {
    return OTHER_KEY.has((error as { code?: string }).code ?? '') ? 'wrong key' : 'refused'
  }
}
