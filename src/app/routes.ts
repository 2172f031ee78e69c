/** Makes the routes of the data plane from the settings: those written down, then one for each embedded model. */
import type { CachePolicy, Settings } from '../config/schema.ts'
import { Cors } from '../data/route/cors.ts'
import type { Route, RouteCache } from '../data/route/routes.ts'
import { Sampler } from '../lib/sampler.ts'
import { EMBEDDED, type Parts, protocolsOf } from './parts.ts'

export function routesOf(settings: Settings, custom: Parts = {}): Route[] {
  const byDefault = settings.auth && (settings.auth.required ? 'required' : 'optional')
  const written = settings.routes.map(
    ({ auth = byDefault, ...route }): Route => ({
      ...route,
      ...(auth && { auth }),
      protocols: protocolsOf(route.protocol, custom),
      cache: cacheOf(route.cache),
      cors: route.cors && new Cors(route.cors),
      log: route.log && new Sampler(route.log.sample, Math.random),
      keepsHost: settings.pools[route.pool]?.host === 'keep',
    }),
  )
  const embedded = settings.models.map(
    ({ name, cache }): Route => ({
      name,
      match: { model: name },
      protocols: EMBEDDED,
      pool: name,
      timeout: settings.server.limits.requestTimeout,
      pure: true,
      ...(byDefault && { auth: byDefault }),
      cache: cacheOf(cache),
    }),
  )
  return [...written, ...embedded]
}

function cacheOf(policy: CachePolicy): RouteCache | undefined {
  return policy.enabled ? policy : undefined
}
