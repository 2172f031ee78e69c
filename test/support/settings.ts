/** Small settings for gateways in tests: one pool of static backends, one route to it, tiers as named. */
import type { SettingsInput } from '../../src/config/schema.ts'
import type { TestServer } from './servers.ts'

type Tiers = NonNullable<NonNullable<SettingsInput['cache']>['tiers']>
type Pool = NonNullable<SettingsInput['pools']>[string]
type Route = NonNullable<SettingsInput['routes']>[number]

export interface Parts {
  readonly backends?: readonly { readonly url: string }[]
  readonly tiers?: Tiers
  readonly pool?: Pool
  readonly route?: Route
  readonly server?: SettingsInput['server']
}

export const MEMORY = { name: 'memory', type: 'memory', maxBytes: '16MiB' } as const

export const redisTier = ({ url }: TestServer, readTimeout = '25ms') =>
  ({ name: 'redis', type: 'redis', url, readTimeout, connectTimeout: '200ms' }) as const

export const memcachedTier = ({ port }: TestServer, readTimeout = '25ms') =>
  ({
    name: 'memcached',
    type: 'memcached',
    servers: [`127.0.0.1:${port}`],
    readTimeout,
  }) satisfies Tiers[number]

/** Two event loops, as users have them: for what must hold between them. */
export const TWO = { workers: 2 } as const

/** A route `main` that takes everything and caches it, to a pool `main`. One event loop, unless `server` says otherwise. */
export function settings({ backends = [], tiers = [MEMORY], pool, route, server }: Parts): SettingsInput {
  return {
    server: { workers: 1, ...server },
    cache: { tiers: [...tiers] },
    pools: {
      main: { backends: backends.map(({ url }) => ({ url })), health: { interval: '200ms' }, ...pool },
    },
    routes: [{ name: 'main', pool: 'main', cache: { rows: 'never' }, ...route }],
  }
}

export const PREDICT = '/v1/models/sum:predict'

/** A call of the summing backend. */
export const instances = (...rows: (number | number[])[]) => ({ instances: rows })
