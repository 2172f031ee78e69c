/** Checks of `auth`, `tenants` and what names them elsewhere. They read the input before the schema does. */
import type { Issue } from './messages.ts'
import type { Settings } from './schema.ts'
import { type Path, property } from './walk.ts'

export function callerIssues(input: unknown): Issue[] {
  const auth = property(input, 'auth')
  const found = auth === undefined ? withoutAuth(input) : [...noSource(auth), ...twins(auth)]
  return [...found, ...sharedFloor(input), ...unkept(input)]
}

const problem = (path: Path, message: string, fix?: string): Issue => ({
  path,
  message,
  at: 'value',
  ...(fix === undefined ? {} : { fix }),
})

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

const NEEDS_AUTH = 'without `auth` nobody is asked who they are'
const ADD_AUTH = 'add `auth` with keys, jwt, mtls or trustedProxies'

/** What only means something where callers have identities. */
function withoutAuth(input: unknown): Issue[] {
  const isTenant = (cache: unknown) => property(cache, 'scope') === 'tenant'
  const cache = property(input, 'cache')
  const routes = list(property(input, 'routes')).flatMap((route, i): Path[] => [
    ...(property(property(route, 'match'), 'tenant') === undefined ? [] : [['routes', i, 'match', 'tenant']]),
    ...(property(route, 'auth') === undefined ? [] : [['routes', i, 'auth']]),
    ...(isTenant(property(route, 'cache')) ? [['routes', i, 'cache', 'scope']] : []),
  ])
  const found: Path[] = [
    ...(property(input, 'tenants') === undefined ? [] : [['tenants']]),
    ...(property(property(input, 'admin'), 'auth') === undefined ? [] : [['admin', 'auth']]),
    ...(isTenant(property(cache, 'defaults')) ? [['cache', 'defaults', 'scope']] : []),
    ...routes,
  ]
  return found.map((path) => problem(path, NEEDS_AUTH, ADD_AUTH))
}

/** Quotas with nowhere to keep the counts. */
function unkept(input: unknown): Issue[] {
  const tiers = list(property(property(input, 'cache'), 'tiers'))
  if (tiers.some((tier) => property(tier, 'type') === 'redis')) return []
  const tenants = property(input, 'tenants')
  if (typeof tenants !== 'object' || tenants === null) return []
  return Object.keys(tenants).flatMap((name) =>
    property(property(tenants, name), 'quota') === undefined
      ? []
      : [problem(['tenants', name, 'quota'], 'a restart would forget what was used', ADD_REDIS)],
  )
}

const ADD_REDIS = 'add a tier of the type redis to cache.tiers, where the counts are kept'

const SOURCES = ['keys', 'keysFile', 'jwt', 'mtls', 'trustedProxies']

function noSource(auth: unknown): Issue[] {
  const isThere = SOURCES.some((name) => {
    const value = property(auth, name)
    return Array.isArray(value) ? value.length > 0 : value !== undefined
  })
  return isThere ? [] : [problem(['auth'], 'nobody can prove who they are', ADD_AUTH)]
}

/** Nobody knows how many tenants are named nowhere, so places cannot be kept for each of them. */
function sharedFloor(input: unknown): Issue[] {
  const floor = property(property(property(input, 'tenants'), '*'), 'floor')
  if (floor === undefined || floor === 0) return []
  return [problem(['tenants', '*', 'floor'], 'places are kept for tenants that are named', NAME_IT)]
}

const NAME_IT = 'give a tenant of its own name a floor, or leave it out here'

/** Two keys with one name, or one hash: which of them a caller has could not be told. */
function twins(auth: unknown): Issue[] {
  return ['name', 'hash'].flatMap((field) => {
    const seen = new Set<unknown>()
    return list(property(auth, 'keys')).flatMap((key, i) => {
      const value = property(key, field)
      if (value === undefined || !seen.has(value)) {
        seen.add(value)
        return []
      }
      return [problem(['auth', 'keys', i, field], `another key has this ${field}`)]
    })
  })
}

/** What works, and lets somebody name more tenants than was perhaps meant. */
export function callerWarnings(settings: Settings): Issue[] {
  const { auth } = settings
  if (!auth) return []
  const unbounded = [
    ...auth.jwt.map(({ tenants }, i) => ({ tenants, path: ['auth', 'jwt', i] as Path })),
    ...(auth.mtls ? [{ tenants: auth.mtls.tenants, path: ['auth', 'mtls'] as Path }] : []),
    ...(auth.trustedProxies
      ? [{ tenants: auth.trustedProxies.tenants, path: ['auth', 'trustedProxies'] as Path }]
      : []),
  ].flatMap(({ tenants, path }) =>
    tenants === undefined
      ? [problem(path, 'may name any tenant, those of the other sources as well', BOUND)]
      : [],
  )
  const plain = auth.jwt.flatMap(({ jwks }, i) =>
    /^http:/i.test(jwks) && !isLocal(jwks)
      ? [
          problem(
            ['auth', 'jwt', i, 'jwks'],
            'whoever is on the way can put keys of their own in',
            'use https',
          ),
        ]
      : [],
  )
  return [...unbounded, ...plain, ...tokensOfNothing(settings)]
}

/** Only calls of OpenAI's API take tokens. */
function tokensOfNothing({ tenants = {}, routes, models }: Settings): Issue[] {
  const isTaken = routes.some(({ protocol }) => protocol === 'openai' || protocol === 'auto')
  if (isTaken || models.length > 0) return []
  return Object.entries(tenants).flatMap(([name, { rate, quota }]) =>
    [
      ...(rate?.tokens ? [['tenants', name, 'rate', 'tokens'] as Path] : []),
      ...(quota?.tokens ? [['tenants', name, 'quota', 'tokens'] as Path] : []),
    ].map((path) => problem(path, 'limits nothing: no route has calls that take tokens', TOKENS)),
  )
}

const TOKENS = 'give the route of the models `protocol: openai`, or leave it out'

const BOUND = 'list the tenants it may name in `tenants`, or write ["*"] where any is meant'

function isLocal(url: string): boolean {
  return /^(?:localhost|127\.[\d.]+|\[::1\])$/.test(URL.parse(url)?.hostname ?? '')
}
