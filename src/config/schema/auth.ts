/** The schema of callers: how they prove who they are. */
import * as z from 'zod'
import { parseClaimPath } from '../../core/claim-path.ts'
import { HOP_FIELDS, REPLACED_FIELDS } from '../../core/fields.ts'
import { cidr, duration, kinds, nameOf, refuse } from './fields.ts'
import { tenantName, tenantPatterns } from './tenants.ts'

const subject = () =>
  z.string().min(1).max(256).exactOptional().describe('Who of the tenant it is; otherwise the tenant itself.')

export const apiKey = z.strictObject({
  name: nameOf('key').describe('Which key it is, for people.'),
  hash: z
    .string()
    .regex(/^sha256:[0-9a-f]{64}$/, {
      error: 'expected sha256: and 64 hex digits: `infergate keys new` makes a key with its line',
    })
    .register(kinds, { kind: 'secret' })
    .describe('`sha256:` and the SHA-256 of the key in hex; the key itself is written nowhere.'),
  tenant: tenantName().describe('Whose key it is.'),
  subject: subject(),
})

const CLAIM_HINT =
  'expected the name of a claim, such as claim.sub, claim.realm.team or claim["https://example.com/team"]'

export const claim = () =>
  z.string().refine((text) => parseClaimPath(text) !== undefined, { error: CLAIM_HINT })

const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const

/** The place is shown and logged, without its query. */
function keySetPlace() {
  return z
    .string()
    .min(1)
    .superRefine((text, ctx) => {
      if (!/^https?:\/\//i.test(text)) return
      const url = URL.parse(text)
      if (!url) refuse(ctx, 'this is no URL: see whether its host and its port (at most 65535) are right')
      else if (url.username !== '' || url.password !== '') refuse(ctx, 'no credentials in this URL')
    })
    .register(kinds, { kind: 'place' })
}

const jwt = z.strictObject({
  issuer: z.string().min(1).describe('What `iss` must be, letter by letter.'),
  audience: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)], {
      error: 'expected an audience, such as infergate, or a list of them',
    })
    .transform((given) => (typeof given === 'string' ? [given] : given))
    .describe('What `aud` must name: one of these.'),
  jwks: keySetPlace().describe(
    "The issuer's public keys: the URL of its JWK Set, or a file as a path from this YAML. Both are read again as they change.",
  ),
  algorithms: z
    .array(z.enum(ALGORITHMS))
    .min(1)
    .prefault(['RS256', 'PS256', 'ES256', 'EdDSA'])
    .describe('Signatures that are accepted; only ones with a public key can be named.'),
  tenant: claim().describe(
    'The claim that names the tenant: `claim.a.b`, or `claim["https://x/y"]` for odd names.',
  ),
  subject: claim().prefault('claim.sub').describe('The claim that names the subject.'),
  tenants: tenantPatterns(),
  clockTolerance: duration({ min: '0s', max: '10m' })
    .prefault('30s')
    .describe("How far the issuer's clock may be from ours, for `exp` and `nbf`."),
})

const NAMES = ['subject.cn', 'subject.ou', 'san.dns', 'san.uri'] as const
const NAME_HINT = 'expected subject.cn, subject.ou, san.dns or san.uri'

const mtls = z.strictObject({
  tenant: z
    .enum(NAMES, { error: NAME_HINT })
    .describe(
      'Which name of the client certificate is the tenant; it must have exactly one of the kind. `san.uri` is a SPIFFE id.',
    ),
  subject: z
    .enum(NAMES, { error: NAME_HINT })
    .exactOptional()
    .describe('Which name is the subject; otherwise the tenant itself.'),
  tenants: tenantPatterns(),
})

/** Fields that end at each hop or that the gateway writes itself carry no identity. */
const NOT_SENT = new Set([...HOP_FIELDS, ...REPLACED_FIELDS])

const fieldName = () =>
  z
    .string()
    .toLowerCase()
    .regex(/^[a-z0-9-]{1,63}$/, { error: 'expected a header field name of letters, digits and "-"' })
    .refine((name) => !NOT_SENT.has(name) && name !== 'authorization', {
      error: 'this field has another meaning: name one that the proxy writes for this alone',
    })

const trustedProxies = z.strictObject({
  from: z.array(cidr()).min(1).describe('Addresses of the proxies that have verified who the caller is.'),
  tenant: fieldName().describe('The header field in which they name the tenant.'),
  subject: fieldName()
    .exactOptional()
    .describe('The header field in which they name the subject; otherwise the tenant itself.'),
  tenants: tenantPatterns(),
})

export const auth = z.strictObject({
  required: z
    .boolean()
    .prefault(true)
    .describe('Whether a call without a valid identity is answered 401; a route may say otherwise.'),
  keys: z
    .array(apiKey)
    .prefault([])
    .describe('API keys, sent as `Authorization: Bearer KEY`, `x-api-key: KEY` or `api-key: KEY`.'),
  keysFile: z
    .string()
    .min(1)
    .exactOptional()
    .describe(
      'A file with further keys, YAML or JSON, as a path from this YAML; read again when it changes.',
    ),
  jwt: z
    .array(jwt)
    .max(32)
    .prefault([])
    .describe('Issuers of JSON Web Tokens, sent as `Authorization: Bearer TOKEN`.'),
  mtls: mtls.exactOptional().describe('Client certificates as identities.'),
  trustedProxies: trustedProxies
    .exactOptional()
    .describe('Proxies in front that pass on an identity. From anybody else their fields are taken away.'),
  forward: z
    .boolean()
    .prefault(false)
    .describe("Whether the caller's credentials go on to the backend; otherwise they end here."),
})
