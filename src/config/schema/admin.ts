/** The schema of the admin listener: a port of its own, which is on loopback only until there are tokens. */
import * as z from 'zod'
import { claim } from './auth.ts'
import { address, fixed, fixedPresence, isLoopback, kinds, nameOf, refuse } from './fields.ts'
import { tenantName } from './tenants.ts'
import { serverTls } from './tls.ts'

const scopes = () =>
  z
    .array(
      z
        .string()
        .regex(
          /^(?:read|purge|scale|tenants|traffic|admin|register:(?:\*|[A-Za-z0-9][A-Za-z0-9_.-]{0,63}))$/,
          {
            error: 'expected read, purge, scale, tenants, traffic, admin or register:<pool>',
          },
        ),
    )
    .min(1)
    .describe(
      'What it may do: `read`, `purge`, `scale`, `tenants` (what each has used), `traffic` (change the weights of routes), `register:<pool>` (`register:*`: any pool), or `admin` for everything.',
    )

const grant = z.strictObject({
  tenant: tenantName().describe('Callers of this tenant, whatever proves it.'),
  subject: z
    .string()
    .min(1)
    .max(256)
    .exactOptional()
    .describe('Only this subject of it; left out: all of them.'),
  scopes: scopes(),
})

const callers = z.strictObject({
  grants: z.array(grant).prefault([]).describe('Which callers may do what.'),
  claim: claim()
    .exactOptional()
    .describe(
      'The claim of a token that grants scopes: a list, or a text with spaces, of words such as `infergate:read`; other words grant nothing.',
    ),
})

const token = z.strictObject({
  name: nameOf('token').describe('Who holds it; stands in the audit log.'),
  hash: z
    .string()
    .regex(/^sha256:[0-9a-f]{64}$/, {
      error: 'expected sha256: and 64 hex digits; make them with: printf %s "$TOKEN" | sha256sum',
    })
    .register(kinds, { kind: 'secret' })
    .describe('`sha256:` and the SHA-256 of the token in hex; the token itself is written nowhere.'),
  scopes: scopes(),
})

export const admin = z
  .strictObject({
    listen: fixed(address().prefault('127.0.0.1:9090').describe('Address and port of the admin listener.')),
    tls: fixedPresence(
      serverTls.exactOptional().describe('Serves the admin API over HTTPS, as `server.tls`.'),
    ),
    tokens: z
      .array(token)
      .prefault([])
      .describe(
        'Who may use the admin API. Without tokens only this machine may, and `listen` must be a loopback address.',
      ),
    auth: callers
      .exactOptional()
      .describe(
        'Callers of `auth` who may use the admin API as well, with keys, tokens or certificates of `admin.tls`; without a grant they may nothing.',
      ),
    hosts: z
      .array(
        z.string().regex(/^[A-Za-z0-9.-]+(?::\d{1,5})?$/, {
          error: 'expected a host name, such as gateway.internal',
        }),
      )
      .prefault([])
      .describe('Host names, besides IP addresses and `localhost`, under which writes are accepted.'),
    openMetrics: z
      .boolean()
      .prefault(false)
      .describe('Serve `/metrics` without a token although there are tokens.'),
    shareBackends: fixed(
      z
        .boolean()
        .prefault(true)
        .describe(
          'Where there is a Redis tier: backends that register here are known to all gateways on it, and the other way round.',
        ),
    ),
  })
  .superRefine(({ listen, tokens, auth }, ctx) => {
    if (tokens.length > 0 || auth || isLoopback(listen.host)) return
    refuse(
      ctx,
      'without admin.tokens the admin API must listen on a loopback address, such as 127.0.0.1:9090',
      ['listen'],
    )
  })
