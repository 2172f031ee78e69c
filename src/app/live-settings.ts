/**
 * The part of the settings that may change while calls run, in the data plane's form. A reload replaces it as a whole.
 */
import type { Settings } from '../config/schema.ts'
import { cidrList } from '../core/addresses.ts'
import { Authenticator, type AuthLive, type Credentials } from '../data/auth/authenticator.ts'
import { TenantPolicies } from '../data/auth/policies.ts'
import type { CallOutbox } from '../data/calls/call-outbox.ts'
import { CallReporter } from '../data/calls/call-reporter.ts'
import type { ProxyTrust } from '../data/http/outgoing-fields.ts'
import type { PoolWeights } from '../data/route/pool-weights.ts'
import type { RouteMirror } from '../data/route/route-mirror.ts'
import { createRouter, type Route } from '../data/route/routes.ts'
import type { Clock } from '../lib/clock.ts'
import { Sampler } from '../lib/sampler.ts'
import type { Parts } from './parts.ts'
import { routesOf } from './routes.ts'
import { tracingOf } from './tracing/tracing-of.ts'

export interface LiveSettings extends AuthLive, ProxyTrust {
  /** The weights of each route that is split, by the route's name. */
  readonly weights: ReadonlyMap<string, PoolWeights>
  /** Where copies of a route's calls go, by the route's name. */
  readonly mirrors: ReadonlyMap<string, RouteMirror<Route>>
}

export interface LiveParts {
  /** Custom parts. */
  readonly custom: Parts
  readonly credentials: Credentials
  /** The data port speaks TLS, which a reload does not change. */
  readonly isSecure: boolean
  readonly keyMissing: (jwks: string) => Promise<void>
  readonly clock: Clock
  readonly random: () => number
  /** Takes the lines of the access log. */
  readonly outbox: CallOutbox
  /** What was live before. */
  readonly previous?: LiveSettings | undefined
}

export function liveOf(settings: Settings, parts: LiveParts): LiveSettings {
  const { server } = settings
  const routes = routesOf(settings, parts.custom)
  return {
    weights: new Map(routes.flatMap(({ name, split }) => (split ? [[name, split.weights] as const] : []))),
    mirrors: new Map(routes.flatMap(({ name, mirror }) => (mirror ? [[name, mirror] as const] : []))),
    route: createRouter(routes),
    maxBodyBytes: server.limits.maxBodyBytes,
    trusted: cidrList(server.trustedProxies),
    scheme: parts.isSecure ? 'https' : 'http',
    auth: authenticatorOf(settings, parts),
    calls: callReporterOf(settings, parts),
  }
}

function callReporterOf(settings: Settings, { outbox, random, clock }: LiveParts): CallReporter | undefined {
  const { log } = settings
  const tracing = tracingOf(settings)
  if (!log.access && !tracing) return undefined
  const sampler = (sample: number) => new Sampler(sample, random)
  const access = log.access && { ...log.access, sampler: sampler(log.access.sample), slowMs: log.access.slow }
  return new CallReporter({ rules: { access, traces: tracing && sampler(tracing.sample) }, outbox, clock })
}

function authenticatorOf(
  { auth, tenants }: Settings,
  { previous, ...parts }: LiveParts,
): Authenticator | undefined {
  if (!auth) return undefined
  return new Authenticator({
    ...parts,
    settings: auth,
    policies: tenants && new TenantPolicies(tenants),
    proxies: cidrList(auth.trustedProxies?.from ?? []),
    previous: previous?.auth,
  })
}
