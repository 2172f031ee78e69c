/**
 * The schema of stores: where models that `models[].source` names by URL are kept on this machine, and how the far sides
 * are reached.
 */
import * as z from 'zod'
import { cidr, count, duration, hostPattern, httpUrl, orElse, refuse, size } from './fields.ts'

/** `http(s)://host:port` of a NameNode's web server. */
function namenode() {
  return httpUrl().superRefine((text, ctx) => {
    if (new URL(text).pathname !== '/') refuse(ctx, 'a NameNode has no path: /webhdfs/v1 is added')
  })
}

const https = z.strictObject({
  redirects: z
    .array(hostPattern())
    .prefault([])
    .describe(
      'Hosts that a redirect may lead to, besides the one that answers; names, `*.` domains, ranges.',
    ),
})

const hdfs = z.strictObject({
  namenodes: z
    .array(namenode())
    .max(16)
    .prefault([])
    .describe(
      'Web addresses of the NameNodes (or of HttpFS) for `hdfs://` sources, tried in this order; a standby is passed over.',
    ),
  user: orElse(
    z
      .string()
      .regex(/^[^\s&?#%]{1,128}$/, { error: 'expected a name without spaces' })
      .exactOptional(),
    "the server's default user",
  ).describe('Name that the gateway goes by where it has no token.'),
  tokenFile: z
    .string()
    .min(1)
    .exactOptional()
    .describe('File with a delegation token, read before every operation; renewing it is left to others.'),
  dataNodes: z
    .array(hostPattern())
    .prefault([])
    .describe('Hosts that a NameNode may redirect to, besides its own; names, `*.` domains, ranges.'),
})

const s3 = z.strictObject({
  endpoint: httpUrl().exactOptional().describe("An S3-compatible server; without it, AWS's own in `region`."),
  region: orElse(z.string().min(1).exactOptional(), "that of the AWS SDK's environment and files").describe(
    'Region of the buckets.',
  ),
  pathStyle: orElse(z.boolean().exactOptional(), 'true with an `endpoint`').describe(
    'Puts the name of the bucket into the path and not into the host.',
  ),
})

export const stores = z.strictObject({
  dir: orElse(
    z.string().min(1).exactOptional(),
    '`$XDG_CACHE_HOME/infergate` or `~/.cache/infergate`',
  ).describe('Folder for what was fetched, kept over restarts; may be shared by gateways of one machine.'),
  maxSize: size({ min: '1MiB' })
    .prefault('20GiB')
    .describe('Most that the folder holds; files that no model uses are removed for it.'),
  maxModelSize: size({ min: '1KiB' }).prefault('2GiB').describe('Longest model file that is fetched.'),
  timeout: duration({ max: '10m' })
    .prefault('10s')
    .describe('Longest wait for an answer of a store, and longest silence within a file.'),
  fetchTimeout: duration({ max: '24h' }).prefault('30m').describe('Longest time that one file may take.'),
  maxVersions: count(1, 1000)
    .prefault(16)
    .describe('Most versions of one model that are fetched and served: the highest.'),
  allowAddresses: z
    .array(cidr())
    .prefault([])
    .describe('Link-local, metadata and similar addresses that stores may have all the same.'),
  https: https.prefault({}).describe('Sources that begin with `https://`.'),
  hdfs: hdfs.prefault({}).describe('Sources in HDFS: `hdfs://`, `webhdfs://` and `swebhdfs://`.'),
  s3: s3
    .prefault({})
    .describe('Sources that begin with `s3://`; credentials come from where the AWS SDK finds them.'),
})
