/** Reads a JWK Set (RFC 7517): the public keys in it as plain data, without anything private. */

export type Jwk = Readonly<Record<string, unknown>>

const MAX_KEYS = 100
/** Kinds of keys that have a public half. */
const KINDS = new Set(['RSA', 'EC', 'OKP'])
const PUBLIC = ['kty', 'kid', 'use', 'key_ops', 'alg', 'crv', 'n', 'e', 'x', 'y']

/** Throws an Error that says what is wrong. */
export function readJwkSet(text: string): readonly Jwk[] {
  const keys: unknown = (parse(text) as { keys?: unknown } | null)?.keys
  if (!Array.isArray(keys)) throw new Error('it is no JWK Set: it has no list of keys')
  if (keys.length > MAX_KEYS) throw new Error(`it has more than ${MAX_KEYS} keys`)
  return keys.filter(isUsable).map(publicHalf)
}

/** What the parser says quotes the text, which may be anything, such as a page with the URL that was asked for. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('it is no JWK Set: it is no JSON')
  }
}

/** Further kinds, which a set may hold for others, are left out (RFC 7517, section 5). */
function isUsable(key: unknown): key is Jwk {
  return typeof key === 'object' && key !== null && KINDS.has(String((key as Jwk)['kty']))
}

function publicHalf(key: Jwk): Jwk {
  return Object.fromEntries(PUBLIC.flatMap((name) => (key[name] === undefined ? [] : [[name, key[name]]])))
}
