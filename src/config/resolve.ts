/** Resolves plain input into frozen `Settings`, or lists every issue. The YAML and the command line both use it. */
import { mainAddress } from '../core/backend.ts'
import { locateFiles } from './locate.ts'
import { type Issue, issuesOf } from './messages.ts'
import { crossCheck, nothingToServe } from './references.ts'
import {
  schema as builtIn,
  type CachePolicy,
  type Parsed,
  type Settings,
  type SettingsSchema,
} from './schema.ts'

export type Resolved = { readonly settings: Settings } | { readonly issues: readonly Issue[] }

/** @param folder what relative paths start from: that of the YAML. */
export function resolve(input: unknown, folder: string, schema: SettingsSchema = builtIn): Resolved {
  // It is used once a start: compiling a parser takes longer than parsing, even ten thousand tenants.
  const parsed = schema.safeParse(input, { jitless: true })
  const issues = parsed.success ? backendClashes(parsed.data) : issuesOf(schema, input, parsed.error.issues)
  issues.push(...crossCheck(input))
  if (issues.length === 0) issues.push(...nothingToServe(input))
  return parsed.success && issues.length === 0 ? { settings: settle(parsed.data, folder) } : { issues }
}

function settle(read: Parsed, folder: string): Settings {
  const parsed = locateFiles(read, folder)
  const pools = Object.entries(parsed.pools).map(([name, pool]) => {
    const backends = pool.backends.map((backend) => ({ ...backend, id: backendId(backend) }))
    return [name, { ...pool, backends }] as const
  })
  const models = parsed.models.map((model) => ({ ...model, cache: policy(parsed, model.cache) }))
  const names = [...Object.keys(parsed.pools), ...parsed.models.map((model) => model.name)]
  const routes = parsed.routes.map((route) => ({
    ...route,
    name: route.name ?? 'default',
    ...(route.split ? { sticky: route.sticky ?? 'input' } : { pool: route.pool ?? (names[0] as string) }),
    timeout: route.timeout ?? parsed.server.limits.requestTimeout,
    cache: policy(parsed, route.cache),
  }))
  return freeze({ ...parsed, models, pools: Object.fromEntries(pools), routes })
}

/** A route's cache settings merged over the defaults; without a `cache` block the route does not cache. */
function policy(parsed: Parsed, own: Parsed['routes'][number]['cache']): CachePolicy {
  return { ...parsed.cache.defaults, ...(own ?? { enabled: false, heedBackend: true, tags: [] }) }
}

type ParsedBackend = Parsed['pools'][string]['backends'][number]

/** A backend's default id, of host, port and path: it is a valid URL segment and the same after every reload. */
function backendId({ id, ...at }: ParsedBackend): string {
  if (id !== undefined) return id
  const { hostname, port, protocol, pathname } = new URL(mainAddress(at))
  const host = hostname.replace(/^\[|\]$/g, '')
  const path = pathname === '/' ? '' : pathname.replace(/[^A-Za-z0-9_.-]/g, '-')
  return `${host}:${port === '' ? (protocol === 'https:' ? 443 : 80) : port}${path}`.slice(0, 128)
}

function backendClashes({ pools }: Parsed): Issue[] {
  return Object.entries(pools).flatMap(([name, pool]) => {
    const seen = new Set<string>()
    return pool.backends.flatMap((backend, i): Issue[] => {
      const id = backendId(backend)
      const isNew = !seen.has(id)
      seen.add(id)
      if (isNew) return []
      const path = [
        'pools',
        name,
        'backends',
        i,
        backend.id === undefined ? (backend.url === undefined ? 'grpc' : 'url') : 'id',
      ]
      return [
        {
          path,
          at: 'value',
          message: 'another backend of this pool has this id',
          fix: 'give it an id of its own',
        },
      ]
    })
  })
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    Object.values(value).forEach(freeze)
  }
  return value
}
