/** Makes the paths in the settings absolute: in the YAML they start from its folder. */
import { resolve as resolvePath } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Parsed } from './schema.ts'

/** A path from `folder`; a URI of another scheme stays what it is. */
export function locate(source: string, folder: string): string {
  if (/^file:\/\//i.test(source)) return fileURLToPath(source)
  return /^[A-Za-z][A-Za-z0-9+.-]+:\/\//.test(source) ? source : resolvePath(folder, source)
}

/** The settings with the files of models, stores, logs, TLS, credentials and discovery located. */
export function locateFiles(parsed: Parsed, folder: string): Parsed {
  const { server, admin, auth, cache, pools, models, stores, routes } = parsed
  const within = <T extends object>(block: T): T => withTls(block, folder)
  return {
    ...parsed,
    server: within(server),
    admin: within(admin),
    ...(auth && { auth: locateAuth(auth, folder) }),
    cache: { ...cache, tiers: cache.tiers.map((tier) => within(locateTier(tier, folder))) },
    pools: Object.fromEntries(
      Object.entries(pools).map(([name, pool]) => [name, locatePool(within(pool), folder)]),
    ),
    models: models.map((model) => ({ ...model, source: locate(model.source, folder) })),
    stores: locateStores(stores, folder),
    routes: routes.map((route) =>
      route.log ? { ...route, log: { ...route.log, to: locate(route.log.to, folder) } } : route,
    ),
  }
}

type ParsedTier = Parsed['cache']['tiers'][number]

function locateTier(tier: ParsedTier, folder: string): ParsedTier {
  if (tier.type !== 'memory' || tier.snapshot === undefined) return tier
  return { ...tier, snapshot: locate(tier.snapshot, folder) }
}

type ParsedPool = Parsed['pools'][string]

function locatePool(pool: ParsedPool, folder: string): ParsedPool {
  const { credentials, discovery, scale } = pool
  return {
    ...pool,
    ...(credentials && { credentials: locateCredentials(credentials, folder) }),
    discovery: discovery.map((source) =>
      source.type === 'file' ? { ...source, path: locate(source.path, folder) } : source,
    ),
    ...(scale && { scale: { ...scale, emit: scale.emit.map((emitter) => withTls(emitter, folder)) } }),
  }
}

type ParsedCredentials = NonNullable<ParsedPool['credentials']>

function locateCredentials(credentials: ParsedCredentials, folder: string): ParsedCredentials {
  const { valueFile } = credentials
  return valueFile === undefined ? credentials : { ...credentials, valueFile: locate(valueFile, folder) }
}

type ParsedAuth = NonNullable<Parsed['auth']>

function locateAuth(auth: ParsedAuth, folder: string): ParsedAuth {
  const { keysFile, jwt } = auth
  return {
    ...auth,
    jwt: jwt.map((issuer) => ({ ...issuer, jwks: locate(issuer.jwks, folder) })),
    ...(keysFile === undefined ? {} : { keysFile: locate(keysFile, folder) }),
  }
}

function locateStores(stores: Parsed['stores'], folder: string): Parsed['stores'] {
  const { dir, hdfs } = stores
  const { tokenFile } = hdfs
  return {
    ...stores,
    ...(dir === undefined ? {} : { dir: locate(dir, folder) }),
    hdfs: tokenFile === undefined ? hdfs : { ...hdfs, tokenFile: locate(tokenFile, folder) },
  }
}

/** The keys of a `tls` block that name a file. */
const FILES = ['ca', 'cert', 'key', 'clientCa', 'crl']

/** The block with the files of its `tls` block located, if it has one. */
function withTls<T extends object>(block: T, folder: string): T {
  return 'tls' in block ? { ...block, tls: located(block.tls, folder) } : block
}

function located(value: unknown, folder: string): unknown {
  if (Array.isArray(value)) return value.map((entry) => located(entry, folder))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, field]) => [
      key,
      typeof field === 'string' && FILES.includes(key) ? locate(field, folder) : located(field, folder),
    ]),
  )
}
