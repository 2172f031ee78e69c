/**
 * Makes the routes of the data plane from the settings: those written down, then one for each embedded model, and those for calls
 * that ask about a server and name no model.
 */
import { poolsNamedBy } from '../config/route-pools.ts'
import type { CachePolicy, RouteSettings, Settings } from '../config/schema.ts'
import { Cors } from '../data/route/cors.ts'
import { FieldRules } from '../data/route/field-rules.ts'
import { PoolWeights } from '../data/route/pool-weights.ts'
import { Rewrite } from '../data/route/rewrite.ts'
import { RouteMirror } from '../data/route/route-mirror.ts'
import type { Route, RouteCache } from '../data/route/routes.ts'
import { BoundedSampler } from '../lib/bounded-sampler.ts'
import { systemClock } from '../lib/clock.ts'
import { Sampler } from '../lib/sampler.ts'
import { EMBEDDED, type Parts, protocolsOf } from './parts.ts'

export function routesOf(settings: Settings, custom: Parts = {}): Route[] {
  const byDefault = settings.auth && (settings.auth.required ? 'required' : 'optional')
  const written = settings.routes.map((each): Route => {
    const { auth = byDefault, pool, split, sticky, fallback, mirror: _, rewrite, headers, ...route } = each
    const base: Route = {
      ...route,
      ...(auth && { auth }),
      protocols: protocolsOf(route.protocol, custom),
      pool: '',
      cache: cacheOf(route.cache),
      cors: route.cors && new Cors(route.cors),
      ...(rewrite && { rewrite: new Rewrite(rewrite) }),
      ...(headers?.request && { requestFields: new FieldRules(headers.request) }),
      ...(headers?.response && { answerFields: new FieldRules(headers.response) }),
      log: route.log && new Sampler(route.log.sample, Math.random),
      warm: route.warm && new BoundedSampler(systemClock, Math.random),
    }
    const mirror = mirrorOf(settings, each, base)
    return overPools(settings, { pool, split, sticky, fallback }, { ...base, ...(mirror && { mirror }) })
  })
  const ofModel = ({ name, kind, cache }: Settings['models'][number]): Route => ({
    name,
    match: { model: name },
    protocols: EMBEDDED[kind],
    pool: name,
    timeout: settings.server.limits.requestTimeout,
    pure: true,
    ...(byDefault && { auth: byDefault }),
    cache: cacheOf(cache),
  })
  const { models } = settings
  // One that is scaled to zero would be started by being asked for its health.
  const first = models.find(({ replicas }) => replicas.min > 0) ?? models[0]
  const embedded = models.flatMap((model) => [...listRoutes(model, ofModel(model)), ofModel(model)])
  return [...written, ...embedded, ...(first ? serverRoutes(ofModel(first)) : [])]
}

/** The list of models is another one in each dialect: of those that are asked for by OpenAI's clients it is theirs. */
function listRoutes({ kind, name }: Settings['models'][number], route: Route): Route[] {
  if (kind !== 'embedding') return []
  return [{ ...route, match: { path: '/v1/models', model: name }, protocols: protocolsOf('openai') }]
}

/** Paths of the Open Inference protocol that ask about a server: health and metadata, over REST and gRPC. */
const SERVER_PATHS = ['/v2', '/v2/health/*', '/inference.GRPCInferenceService/Server*']

/** Each embedded model has a server of its own, of which the first answers. What it says is no secret of any model. */
function serverRoutes(first: Route): Route[] {
  return SERVER_PATHS.map((path) => ({ ...first, match: { path }, models: 'any' }))
}

type PoolsOfRoute = { [K in 'pool' | 'split' | 'sticky' | 'fallback']: RouteSettings[K] | undefined }

/** The route as it is for its pool, or with its split. */
function overPools(
  settings: Settings,
  { pool = '', split, sticky = 'input', fallback }: PoolsOfRoute,
  route: Route,
): Route {
  const to = (name: string): Route => {
    const others = fallback?.filter((other) => other !== name) ?? []
    const next = others.map((other) => ({ ...route, ...inPool(settings, other) }))
    return { ...route, ...inPool(settings, name), ...(next.length > 0 && { fallback: next }) }
  }
  if (!split) return to(pool)
  const weights = Object.fromEntries(split.map((weighted) => [weighted.pool, weighted.weight]))
  const poolWeights = new PoolWeights(weights, sticky)
  // In the order of the weights: an object has keys such as `1` first, wherever they were written.
  return { ...route, split: { weights: poolWeights, routes: poolWeights.pools.map(to) } }
}

/** Undefined: the route names no pool that could get copies, now or while it runs. */
function mirrorOf(settings: Settings, written: RouteSettings, route: Route): RouteMirror<Route> | undefined {
  const { mirror, split } = written
  if (!mirror && !split) return undefined
  const to = poolsNamedBy(written).map((pool) => [pool, { ...route, ...inPool(settings, pool) }] as const)
  return new RouteMirror(new Map(to), mirror)
}

function inPool({ pools }: Settings, pool: string): Pick<Route, 'pool' | 'keepsHost'> {
  return { pool, keepsHost: pools[pool]?.host === 'keep' }
}

function cacheOf(policy: CachePolicy): RouteCache | undefined {
  return policy.enabled ? policy : undefined
}
