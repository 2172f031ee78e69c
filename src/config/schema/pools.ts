/** The schema of pools: backends, discovery, health checks, balancing and scaling. */
import * as z from 'zod'
import { isAddresses } from '../../core/host-set.ts'
import { backendLoad } from './backend-load.ts'
import { balanceWith, connections, hedge, limits, outlier, queue, servesInTime } from './balance.ts'
import { credentials } from './credentials.ts'
import { customPart, type PartName, type PartNames } from './custom-parts.ts'
import { cidr, count, duration, httpUrl, nameOf, refuse, secret } from './fields.ts'
import { poolSlo, scaleWith } from './scale.ts'
import { clientTls } from './tls.ts'

const offer = z.strictObject({
  name: z.string().min(1).describe('Name of the model.'),
  version: z.string().min(1).exactOptional().describe('Its version, in quotes where it is a number.'),
  maxBatch: count(1, 1_000_000).exactOptional().describe('The most rows one request may carry.'),
})

const backend = z
  .strictObject({
    id: z
      .string()
      .regex(/^[A-Za-z0-9._:-]{1,128}$/, {
        error: 'an id has 1 to 128 letters, digits, ".", "_", ":" and "-"',
      })
      .exactOptional()
      .describe('Name in metrics and in the admin API; otherwise made from its address.'),
    url: httpUrl().exactOptional().describe('Base URL of the model server, such as `http://127.0.0.1:8501`.'),
    grpc: httpUrl()
      .exactOptional()
      .describe(
        'Where the same server takes gRPC, such as `http://127.0.0.1:8500`, or `https://` for TLS. One that takes nothing else needs no `url`.',
      ),
    weight: z.number().min(0.01).max(1000).prefault(1).describe('Its share of the calls beside the others.'),
    models: z.array(offer).prefault([]).describe('Models it serves; empty: whatever the pool serves.'),
    zone: z.string().min(1).exactOptional().describe('Where it stands, to prefer near ones.'),
    concurrency: count(1, 100_000).exactOptional().describe('Calls it wants at a time.'),
    labels: z
      .record(z.string().regex(/^[\x21-\x7e]{1,64}$/), z.string().regex(/^[\x21-\x7e]{1,64}$/))
      .exactOptional()
      .describe('Marks by which tenants are kept to some backends of the pool.'),
  })
  .superRefine(({ url, grpc }, ctx) => {
    if (url === undefined && grpc === undefined)
      refuse(ctx, 'a backend has an address: write url, grpc, or both', ['url'])
  })

const discoveryWith = (sources: readonly PartName[] = []) =>
  z.discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('file').describe('A JSON or YAML list of backends, watched.'),
      path: z.string().min(1).describe('The file, as a path from this YAML.'),
    }),
    z.strictObject({
      type: z.literal('dns').describe('Every address of a name.'),
      name: z.string().min(1).describe('The name to resolve.'),
      record: z
        .enum(['a', 'srv'])
        .prefault('a')
        .describe('`a`: addresses (A and AAAA) at `port`; `srv`: targets with their ports.'),
      port: count(1, 65_535).exactOptional().describe('Port of the backends where the record has none.'),
      grpcPort: count(1, 65_535).exactOptional().describe('Port on which the same backends take gRPC.'),
      minInterval: duration()
        .prefault('1s')
        .describe('Shortest time between two look-ups, whatever the TTL says.'),
    }),
    z.strictObject({
      type: z.literal('kubernetes').describe('The EndpointSlices of a service.'),
      namespace: z.string().min(1).prefault('default').describe('Namespace of the service.'),
      service: z.string().min(1).describe('Name of the service.'),
      port: z
        .union([count(1, 65_535), z.string()])
        .exactOptional()
        .describe(
          'Number or name of the port; otherwise the first. One whose name begins with `grpc` or `h2c` is that for gRPC.',
        ),
      apiServer: httpUrl()
        .exactOptional()
        .describe('The API server; otherwise that of the cluster the gateway runs in.'),
    }),
    z.strictObject({
      type: z.literal('consul').describe('The passing instances of a service.'),
      address: httpUrl().prefault('http://127.0.0.1:8500').describe('Base URL of the agent.'),
      service: z.string().min(1).describe('Name of the service.'),
      token: secret().exactOptional().describe('ACL token.'),
    }),
    ...sources.map(customPart),
  ])

const health = z.strictObject({
  path: z
    .string()
    .regex(/^(?:auto|tcp|off|\/\S*)$/, { error: 'expected auto, tcp, off or a path that begins with /' })
    .transform((text) => text as 'auto' | 'tcp' | 'off' | `/${string}`)
    .prefault('auto')
    .describe(
      'What is asked; `auto`: what it speaks; `tcp`: whether it accepts connections; `off`: nothing.',
    ),
  interval: duration({ min: '50ms', max: '1h' })
    .prefault('5s')
    .describe('Time between two probes of one backend.'),
  timeout: duration({ max: '60s' }).prefault('1s').describe('Longest wait for the answer to a probe.'),
  unhealthyAfter: count(1, 100).prefault(3).describe('Failed probes in a row after which a backend is out.'),
  healthyAfter: count(1, 100).prefault(2).describe('Good probes in a row after which it is back.'),
})

const retry = z.strictObject({
  max: count(0, 10)
    .prefault(2)
    .describe('Further attempts of one call, each on another backend, where that is safe.'),
  budget: z
    .strictObject({
      percent: z.number().min(0).max(100).prefault(20).describe('Retries, in percent of the calls.'),
    })
    .prefault({})
    .describe('Bounds the load that retries add when a whole pool fails.'),
})

export const poolWith = ({ sources, policies, emitters }: PartNames = {}) =>
  z
    .strictObject({
      backends: z
        .array(backend)
        .prefault([])
        .describe('Backends that are always there; others may register.'),
      host: z
        .enum(['backend', 'keep'])
        .prefault('backend')
        .describe(
          "The Host field that backends get: `backend`: that of the backend's URL; `keep`: the caller's, for backends behind an ingress that routes by it. It is part of the key then.",
        ),
      tls: clientTls.exactOptional().describe('TLS towards backends whose address begins with `https://`.'),
      credentials: credentials
        .exactOptional()
        .describe('What the gateway itself shows to the backends, with every request to them.'),
      discovery: z
        .array(discoveryWith(sources))
        .prefault([])
        .describe('Where further backends are learnt from.'),
      balance: balanceWith(policies).prefault({}).describe('How calls are spread.'),
      load: backendLoad
        .exactOptional()
        .describe(
          'What the backends say of their own load, for the policies that choose by load; without this block the calls of the gateways count alone.',
        ),
      health: health.prefault({}).describe('How a backend that does not answer is found.'),
      retry: retry.prefault({}).describe('When a failed attempt is followed by another.'),
      hedge: hedge.prefault({}).describe('When a call that is late is sent to a second backend as well.'),
      outlier: outlier
        .prefault({})
        .describe('When a backend that answers worse than the others is left out.'),
      limits: limits.prefault({}).describe('How many calls each backend runs at a time.'),
      queue: queue.prefault({}).describe('Calls that wait while every backend is at its limit.'),
      slo: poolSlo.exactOptional().describe('The promise that scaling keeps.'),
      scale: scaleWith(emitters)
        .exactOptional()
        .describe('How many backends there should be; without this block nothing is said.'),
      connections: connections(),
      connectTimeout: duration({ max: '60s' })
        .prefault('1s')
        .describe('Longest wait for a connection to a backend.'),
      allowAddresses: z
        .array(cidr())
        .prefault([])
        .describe('Link-local, metadata and similar addresses that backends may have all the same.'),
    })
    .superRefine(servesInTime)
    .superRefine(provesNames)

/** Who may have the credential is told by certificates where it is told by names. */
function provesNames(
  { tls, credentials: own }: { tls?: z.infer<typeof clientTls>; credentials?: z.infer<typeof credentials> },
  ctx: z.RefinementCtx,
): void {
  const at = own?.hosts.findIndex((host) => !isAddresses(host)) ?? -1
  if (at >= 0 && tls?.verify === false)
    refuse(ctx, 'a name is proved by a certificate, and tls.verify is false: write addresses', [
      'credentials',
      'hosts',
      at,
    ])
}

export const poolName = nameOf('pool')
