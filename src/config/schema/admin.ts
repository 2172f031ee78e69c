/** The schema of the admin listener: a port of its own, which is on loopback only until there are tokens. */
import * as z from 'zod'
import { address, fixed, fixedPresence, isLoopback, kinds, nameOf, refuse } from './fields.ts'
import { serverTls } from './tls.ts'

const token = z.strictObject({
  name: nameOf('token').describe('Who holds it; stands in the audit log.'),
  hash: z
    .string()
    .regex(/^sha256:[0-9a-f]{64}$/, {
      error: 'expected sha256: and 64 hex digits; make them with: printf %s "$TOKEN" | sha256sum',
    })
    .register(kinds, { kind: 'secret' })
    .describe('`sha256:` and the SHA-256 of the token in hex; the token itself is written nowhere.'),
  scopes: z
    .array(
      z
        .string()
        .regex(/^(?:read|purge|scale|tenants|admin|register:(?:\*|[A-Za-z0-9][A-Za-z0-9_.-]{0,63}))$/, {
          error: 'expected read, purge, scale, tenants, admin or register:<pool>',
        }),
    )
    .min(1)
    .describe(
      'What it may do: `read`, `purge`, `scale`, `tenants` (what each has used), `register:<pool>` (`register:*`: any pool), or `admin` for everything.',
    ),
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
  .superRefine(({ listen, tokens }, ctx) => {
    if (tokens.length > 0 || isLoopback(listen.host)) return
    refuse(
      ctx,
      'without admin.tokens the admin API must listen on a loopback address, such as 127.0.0.1:9090',
      ['listen'],
    )
  })
