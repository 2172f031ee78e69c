/** The schema of the cache: its tiers, and the cache policy of routes. */
import * as z from 'zod'
import { HOP_FIELDS, REPLACED_FIELDS } from '../../core/fields.ts'

import { parseRedisUrl } from '../../core/redis-url.ts'
import { customOptions, type PartName } from './custom-parts.ts'
import {
  count,
  duration,
  fixed,
  hostPort,
  hostPortOrSocket,
  nameOf,
  orElse,
  refuse,
  secret,
  serviceUrl,
  size,
} from './fields.ts'
import { memoryTier } from './memory-tier.ts'
import { sealing, sealsWithSecret } from './sealing.ts'
import { clientTls } from './tls.ts'

const LONGEST_TTL = '3650d'

const tierName = () => nameOf('tier').describe('Shown in `Cache-Status` as the `detail` of a hit.')

const writeQueue = z.strictObject({
  maxEntries: count(1, 1_000_000)
    .prefault(10_000)
    .describe('Writes waiting at a time; the oldest is dropped for a new one.'),
  maxBytes: size().prefault('64MiB').describe('Bytes waiting at a time.'),
})

const waits = {
  readTimeout: duration({ max: '10s' })
    .prefault('25ms')
    .describe('Longest wait for a look-up; after it the call goes on without.'),
  writeTimeout: duration({ max: '60s' })
    .prefault('250ms')
    .describe('Longest wait for a write, which no caller waits for.'),
}

const room = (maxEntryBytes: string) => ({
  maxEntryBytes: size().prefault(maxEntryBytes).describe('Longest entry kept in this tier.'),
})

/** The fields that all built-in remote tiers have. */
const remote = (maxEntryBytes: string) => ({
  ...waits,
  connectTimeout: duration({ max: '60s' }).prefault('1s').describe('Longest wait for a connection.'),
  prefix: z
    .string()
    .regex(/^[\x21-\x7e]{0,64}$/, { error: 'expected at most 64 visible ASCII characters' })
    .prefault('ig1:')
    .describe('Stands before every key, so that several systems can share one server.'),
  ...room(maxEntryBytes),
  ...sealing,
})

const sentinel = z.strictObject({
  nodes: z
    .array(hostPort('10.0.0.1:26379'))
    .min(1)
    .max(32)
    .superRefine(namedOnce)
    .describe('`host:port` of every Sentinel; each is asked.'),
  username: orElse(
    z.string().min(1).exactOptional().describe('A user of the Sentinels; they have users of their own.'),
    'the default user',
  ),
  password: orElse(
    secret().exactOptional().describe('The password of the Sentinels, which is not that of Redis.'),
    'none',
  ),
  tls: orElse(z.boolean().exactOptional().describe('TLS to the Sentinels.'), 'as the URL'),
})

const redis = z
  .strictObject({
    name: tierName(),
    type: z.literal('redis').describe('Redis, Valkey or anything that speaks their protocol.'),
    url: serviceUrl(
      ['redis:', 'rediss:', 'unix:'],
      'redis://127.0.0.1:6379, rediss://user:password@host:6380/0 or unix://user:password@localhost/run/redis.sock',
    ).describe(
      '`redis://[user:password@]host:port[/db]`; `rediss://` for TLS; `unix:///path[?db=N]` for a socket. With `sentinel` the host is the name of the primary, without a port.',
    ),
    cluster: z
      .boolean()
      .prefault(false)
      .describe('The URL names one node of a cluster; the others are learnt from it.'),
    tls: clientTls.exactOptional().describe('TLS to a server whose URL begins with `rediss://`.'),
    sentinel: orElse(
      sentinel
        .exactOptional()
        .describe('Redis Sentinels say which server is the primary, and which one after a failover.'),
      'the URL names the server',
    ),
    ...remote('8MiB'),
  })
  .superRefine(sealsWithSecret)
  .superRefine(({ url, cluster, sentinel: sentinels, tls }, ctx) => {
    if (cluster && sentinels) refuse(ctx, 'a cluster has no Sentinels: take one of the two out', ['sentinel'])
    const read = parseRedisUrl(url, sentinels ? 'sentinel' : cluster ? 'cluster' : 'single')
    if ('problem' in read) refuse(ctx, read.problem, ['url'])
    else if (tls !== undefined && !read.target.isSecure && !sentinels?.tls)
      refuse(ctx, 'is for TLS, and this url begins with redis://: write rediss://', ['tls'])
  })

const memcached = z
  .strictObject({
    name: tierName(),
    type: z.literal('memcached').describe('Memcached.'),
    servers: z
      .array(hostPortOrSocket('127.0.0.1:11211'))
      .min(1)
      .max(256)
      .superRefine(namedOnce)
      .describe(
        '`host:port` or `unix:/path` of every server; keys are spread over them by their names here.',
      ),
    username: orElse(z.string().min(1).exactOptional().describe('A user of SASL (PLAIN).'), 'no SASL'),
    password: orElse(secret().exactOptional().describe('The password of that user.'), 'no SASL'),
    ...remote('1MB'),
  })
  .superRefine(sealsWithSecret)
  .superRefine(({ username, password }, ctx) => {
    if ((username === undefined) !== (password === undefined))
      refuse(ctx, 'SASL takes both: username and password', [
        username === undefined ? 'password' : 'username',
      ])
  })

/** A server that is named twice would get twice its share of the keys. */
function namedOnce(servers: readonly string[], ctx: z.RefinementCtx): void {
  const names = servers.map((name) => name.toLowerCase())
  for (const [i, name] of names.entries())
    if (names.indexOf(name) < i) refuse(ctx, 'this server is named already', [i])
}

const customTier = (type: PartName) =>
  z
    .strictObject({
      name: tierName(),
      type: z.literal(type).describe('A tier of your own.'),
      options: customOptions(),
      ...waits,
      ...room('8MiB'),
      ...sealing,
    })
    .superRefine(sealsWithSecret)

/** The fields of a cache policy, for the defaults and for routes. */
const policyFields = {
  ttl: duration({ max: LONGEST_TTL }).describe('How long an answer is fresh.'),
  jitter: z
    .number()
    .min(0)
    .max(0.5)
    .describe('Part of the TTL by which it is varied, so that entries do not expire together.'),
  maxEntryBytes: size({ max: '1GiB' }).describe('Longest answer that is kept.'),
  staleWhileRevalidate: duration({ min: '0s', max: LONGEST_TTL }).describe(
    'After the TTL: how long the old answer is given while a new one is fetched (RFC 5861).',
  ),
  staleIfError: duration({ min: '0s', max: LONGEST_TTL }).describe(
    'After the TTL: how long the old answer is given when no backend answers (RFC 5861).',
  ),
  negativeTtl: duration({ min: '0s', max: '60s' }).describe(
    "How long a model's refusal of an input (400, 404, 413, 415, 422) is kept in memory, for calls that look the same to it; `0s`: not at all.",
  ),
  scope: z
    .enum(['caller', 'tenant', 'shared'])
    .describe(
      '`caller`: nobody sees an answer given to another caller; `tenant`: the callers of a tenant share answers; `shared`: all callers do.',
    ),
  rows: z
    .enum(['auto', 'always', 'never'])
    .describe(
      'Cache rows of a batch one by one: once a model has proved that it may be split, always, or never.',
    ),
  leases: z
    .enum(['auto', 'always', 'never'])
    .describe(
      'Of gateways that share a Redis and miss the same key at once, let one ask the backend: `auto` where its median answer takes longer than 20 ms.',
    ),
}

const POLICY_DEFAULTS = {
  ttl: '24h',
  jitter: 0.1,
  maxEntryBytes: '1MiB',
  staleWhileRevalidate: '0s',
  staleIfError: '0s',
  negativeTtl: '0s',
  scope: 'caller',
  rows: 'auto',
  leases: 'auto',
} as const

const defaults = z.strictObject({
  ttl: withDefault('ttl'),
  jitter: withDefault('jitter'),
  maxEntryBytes: withDefault('maxEntryBytes'),
  staleWhileRevalidate: withDefault('staleWhileRevalidate'),
  staleIfError: withDefault('staleIfError'),
  negativeTtl: withDefault('negativeTtl'),
  scope: withDefault('scope'),
  rows: withDefault('rows'),
  leases: withDefault('leases'),
})

function withDefault<K extends keyof typeof policyFields>(key: K) {
  const field = policyFields[key]
  return z.prefault(field, POLICY_DEFAULTS[key] as never).describe(field.description ?? '')
}

function inherited<K extends keyof typeof policyFields>(key: K) {
  const field = policyFields[key]
  return orElse(z.exactOptional(field).describe(field.description ?? ''), 'as `cache.defaults`')
}

const HEADER_NAME = /^[a-z0-9!#$%&'*+.^_`|~-]+$/

/** Fields that are not forwarded to a backend, so no answer depends on them. */
const NOT_SENT = new Set([...HOP_FIELDS, ...REPLACED_FIELDS])
const GATEWAY_FIELD =
  'the gateway writes this field itself, so no answer depends on what the caller says in it: leave it out (for Host, "match.host" of the route or "host: keep" of the pool puts it into the key)'

const ANY_FIELD =
  'no pattern here: name each field that answers depend on; where they depend on all, nothing can be kept, and "cache.enabled" is false'

/** A route's `cache` block: what it leaves out comes from `cache.defaults`. */
export const routeCache = z.strictObject({
  enabled: z
    .boolean()
    .prefault(true)
    .describe('Cache at all; `false` keeps the rest of the block for later.'),
  ttl: inherited('ttl'),
  jitter: inherited('jitter'),
  maxEntryBytes: inherited('maxEntryBytes'),
  staleWhileRevalidate: inherited('staleWhileRevalidate'),
  staleIfError: inherited('staleIfError'),
  negativeTtl: inherited('negativeTtl'),
  scope: inherited('scope'),
  rows: inherited('rows'),
  leases: inherited('leases'),
  heedBackend: z
    .boolean()
    .prefault(true)
    .describe(
      'Heed what backends say of keeping their answers (`Cache-Control`, `Expires`, `Age`); `false` for servers that say so without meaning it.',
    ),
  sampled: orElse(
    z
      .boolean()
      .exactOptional()
      .describe(
        'Keep generations that were drawn at random as well (`temperature` above 0, or left out), so that each later caller gets the first one again.',
      ),
    '`false`',
  ),
  vary: orElse(
    z
      .array(
        z
          .string()
          .toLowerCase()
          .regex(HEADER_NAME, { error: 'expected a header field name, such as x-tenant' })
          .refine((name) => name !== '*', { error: ANY_FIELD })
          .refine((name) => !NOT_SENT.has(name), { error: GATEWAY_FIELD }),
      )
      .exactOptional()
      .describe(
        'Request header fields that are part of the key, besides the credentials; `torchserve` keeps nothing until they are written, be it as `[]`.',
      ),
    'none',
  ),
  tags: z
    .array(
      z.string().regex(/^[A-Za-z0-9._:-]{1,64}$/, {
        error: 'a tag has 1 to 64 letters, digits, ".", "_", ":" and "-"',
      }),
    )
    .max(8)
    .prefault([])
    .describe('Marks on every entry of the route, to purge by.'),
})

export const cacheWith = (tiers: readonly PartName[] = []) =>
  z.strictObject({
    tiers: fixed(
      z
        .array(
          z.discriminatedUnion('type', [memoryTier(tierName()), redis, memcached, ...tiers.map(customTier)]),
        )
        .prefault([{ name: 'memory', type: 'memory' }])
        .describe('In the order they are asked; memory first, or left out. An empty list: nothing is kept.'),
    ),
    writeQueue: fixed(
      writeQueue
        .prefault({})
        .describe('Bounds, for each shared tier, of the writes that go on behind the answers.'),
    ),
    defaults: defaults.prefault({}).describe('How answers are kept unless a route says otherwise.'),
  })
