/** The schema of the seal over what lies in a shared tier. */
import * as z from 'zod'
import { kinds, orElse, refuse } from './fields.ts'

/** Shorter texts can be guessed by whoever has a sealed value. */
const LEAST = 32
const MOST = 4
const HINT = `a secret has ${LEAST} characters or more: make one with "openssl rand -base64 32"`

/** The fields of a tier that seals. */
export const sealing = {
  secret: orElse(
    z
      .union([z.string(), z.array(z.string()).min(1).max(MOST)], {
        error: `expected a secret, or a list of up to ${MOST}`,
      })
      .transform((given, ctx) => {
        const secrets = typeof given === 'string' ? [given] : given
        return secrets.every(({ length }) => length >= LEAST) ? secrets : refuse(ctx, HINT)
      })
      .register(kinds, { kind: 'secret' })
      .exactOptional()
      .describe(
        `Signs all that is written (HMAC-SHA-256); what is not signed with it is a miss. At least ${LEAST} characters, the same at all gateways. Of a list the first signs, and each is believed.`,
      ),
    'nothing is signed',
  ),
  encrypt: z
    .boolean()
    .prefault(false)
    .describe(
      'With `secret`: encrypts as well (AES-256-GCM), so that who reads the server reads no answers.',
    ),
}

export function sealsWithSecret(
  { secret, encrypt }: { readonly secret?: readonly string[]; readonly encrypt: boolean },
  ctx: z.RefinementCtx,
): void {
  if (encrypt && secret === undefined) refuse(ctx, 'encrypts with a secret: name secret as well', ['encrypt'])
}
