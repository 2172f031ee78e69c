/**
 * Warnings about settings that work but are probably not meant: routes that no call reaches, pools that no route leads
 * to, patterns that look like regular expressions or do not match their own prefix, listeners on one port, backends
 * that no call is sent to, routes to TorchServe that store nothing, models and credentials over plain http, samples without the callers that matter. `infergate check` and the log show them; the file is not refused.
 */
import { isIP } from 'node:net'
import { addressRefusal, createAddressRules, type HostPort, portOf } from '../core/addresses.ts'
import type { BackendAddresses } from '../core/backend.ts'
import { readStoreUrl } from '../core/store-url.ts'
import { callerWarnings } from './caller-checks.ts'
import type { Issue } from './messages.ts'
import { poolsNamedBy, poolsOf } from './route-pools.ts'
import { isLoopback } from './schema/fields.ts'
import type { RouteSettings, Settings } from './schema.ts'
import { type Path, printPath } from './walk.ts'

export function warningsOf(settings: Settings): Issue[] {
  return [
    ...unreachable(settings),
    ...unused(settings),
    ...unvaried(settings),
    ...patterns(settings),
    ...clashes(settings),
    ...addresses(settings),
    ...plainSources(settings),
    ...plainCredentials(settings),
    ...rewrites(settings),
    ...callerWarnings(settings),
    ...unwarmed(settings),
  ]
}

const warning = (path: Path, message: string, fix: string): Issue => ({ path, message, fix, at: 'value' })

function unreachable({ routes, models }: Settings): Issue[] {
  const shadowed = routes.flatMap((route, i) => {
    const earlier = routes.slice(0, i).find((other) => covers(other, route))
    if (!earlier) return []
    return [
      warning(['routes', i], `no call gets here: route "${earlier.name}" before it takes them all`, FIRST),
    ]
  })
  const embedded = models.flatMap(({ name }, i) => {
    const own = { match: { model: name }, protocol: 'auto' } as const
    const earlier = routes.find((route) => !poolsOf(route).includes(name) && covers(route, own))
    if (!earlier) return []
    return [warning(['models', i], `no call gets here: route "${earlier.name}" takes them all`, NARROW)]
  })
  return [...shadowed, ...embedded]
}

const FIRST = 'the first route that matches wins: put the narrower one first'
const NARROW = 'routes come before embedded models: give it a match of its own'

type Matching = Pick<RouteSettings, 'match' | 'protocol'>

/** Whether every call that fits `narrow` fits `wide` as well; false where that is not sure. */
function covers(wide: Matching, narrow: Matching): boolean {
  const [a, b] = [wide.match, narrow.match]
  const isModel = a.model !== undefined
  // A model is known only to dialects, which take only their own paths.
  const isDialect = wide.protocol === 'auto' || (wide.protocol === 'opaque' && !isModel)
  return (
    (isDialect || wide.protocol === narrow.protocol) &&
    fits(a.path, b.path) &&
    fits(a.host, b.host) &&
    fits(a.model, b.model) &&
    fits(a.tenant, b.tenant) &&
    (a.method === undefined || (b.method ?? ['']).every((method) => a.method?.includes(method))) &&
    Object.entries(a.headers ?? {}).every(([name, value]) => fits(value, b.headers?.[name]))
  )
}

/** Whether the pattern `wide` fits whatever `narrow` fits. A `*` of the narrow one stands for something that only a `*` takes. */
function fits(wide: string | undefined, narrow: string | undefined): boolean {
  if (wide === undefined) return true
  if (narrow === undefined) return false
  const parts = wide.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.+')}$`, 's').test(narrow)
}

function unused({ pools, routes }: Settings): Issue[] {
  const used = new Set(routes.flatMap(poolsNamedBy))
  return Object.keys(pools).flatMap((name) =>
    used.has(name)
      ? []
      : [warning(['pools', name], 'no route leads to this pool', 'add a route, or take it out')],
  )
}

/** The addresses of backends, and where each stands in their list. */
function eachAddress(
  backends: readonly BackendAddresses[],
): { address: string; at: [number, keyof BackendAddresses] }[] {
  return backends.flatMap((backend, i) =>
    (['url', 'grpc'] as const).flatMap((member) => {
      const address = backend[member]
      return address === undefined ? [] : [{ address, at: [i, member] as [number, keyof BackendAddresses] }]
    }),
  )
}

/** Backends whose address is refused at each connect. Host names are not resolved here. */
function addresses({ pools, server, admin }: Settings): Issue[] {
  return Object.entries(pools).flatMap(([name, { backends, allowAddresses: allow }]) => {
    const rules = createAddressRules({ allow, ownListeners: [server.listen, admin.listen] })
    return eachAddress(backends).flatMap(({ address, at }) => {
      const to = new URL(address)
      const host = to.hostname.replace(/^\[|\]$/g, '')
      const refusal = isIP(host) === 0 ? undefined : addressRefusal(host, portOf(to), rules)
      const path = ['pools', name, 'backends', ...at]
      return refusal === undefined ? [] : [warning(path, `no call is sent there: it is ${refusal}`, ALLOW)]
    })
  })
}

/** Models over plain http from another machine. Of HDFS it is known: many clusters have nothing else. */
function plainSources({ models }: Settings): Issue[] {
  return models.flatMap(({ source }, i) => {
    const url = readStoreUrl(source)
    if (!url || 'problem' in url || url.type !== 'https' || !url.url.startsWith('http:')) return []
    if (isLoopback(new URL(url.url).hostname.replace(/^\[|\]$/g, ''))) return []
    const message = 'over plain http: whoever is on the way can give it another model'
    return [warning(['models', i, 'source'], message, 'write https://')]
  })
}

/** Credentials of our own that anybody on the way can read. */
function plainCredentials({ pools }: Settings): Issue[] {
  return Object.entries(pools).flatMap(([name, { credentials, backends }]) =>
    eachAddress(backends).flatMap(({ address, at }) => {
      const { protocol, hostname } = new URL(address)
      if (!credentials || protocol === 'https:' || isLoopback(hostname.replace(/^\[|\]$/g, ''))) return []
      const message = "over plain http: whoever is on the way can read the pool's credentials"
      return [warning(['pools', name, 'backends', ...at], message, 'write https://')]
    }),
  )
}

const ALLOW = 'the "allowAddresses" of the pool lets in what is refused otherwise'

/** TorchServe shows every header field to its models. */
/** A sample that has the calls of anonymous callers alone. */
function unwarmed({ routes, auth: callers }: Settings): Issue[] {
  return routes.flatMap(({ warm, auth }, i) =>
    warm && callers && (callers.forward || auth === 'off')
      ? [
          warning(
            ['routes', i, 'warm'],
            'only calls of anonymous callers are kept: the credentials of others go on to the backends',
            callers.forward
              ? 'leave out auth.forward, or warm'
              : 'ask callers who they are, or leave warm out',
          ),
        ]
      : [],
  )
}

function unvaried({ routes }: Settings): Issue[] {
  return routes.flatMap(({ protocol, cache }, i) =>
    protocol === 'torchserve' && cache.enabled && cache.vary === undefined
      ? [
          warning(
            ['routes', i, 'cache'],
            'nothing is kept: TorchServe shows every header field to its models',
            'name in vary those that your handlers read; if they read none, write vary: []',
          ),
        ]
      : [],
  )
}

/** Prefixes that no path of their route begins with. */
function rewrites({ routes }: Settings): Issue[] {
  return routes.flatMap(({ match, rewrite }, i) => {
    const { path } = match
    const { prefix } = rewrite ?? {}
    if (path === undefined || prefix === undefined) return []
    const [fixed = ''] = path.split('*')
    const isMet =
      fixed.length === path.length
        ? begins(fixed, prefix)
        : fixed.startsWith(prefix) || prefix.startsWith(fixed)
    const message = 'nothing is rewritten: no path of the route begins with it'
    return isMet
      ? []
      : [warning(['routes', i, 'rewrite', 'prefix'], message, `write it as in match.path: ${path}`)]
  })
}

function begins(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`)
}

function patterns({ routes }: Settings): Issue[] {
  const all = routes.map(({ match }) => patternsOf(match))
  return all.flatMap((patterns, i) =>
    patterns.flatMap(({ at, pattern }) => {
      const path = ['routes', i, 'match', ...at]
      if (/\.\*|^\^|\$$|\\[dws]/.test(pattern))
        return [warning(path, 'this reads as a regular expression, and is none', ONLY)]
      const word = /^(.*\w)\*$/s.exec(pattern)?.[1]
      const isTaken = all.flat().some((other) => other.at.join() === at.join() && fits(other.pattern, word))
      return word === undefined || isTaken
        ? []
        : [warning(path, `takes what begins with "${word}", and not "${word}" itself`, MORE)]
    }),
  )
}

interface Pattern {
  /** Its path within `match`. */
  readonly at: readonly string[]
  readonly pattern: string
}

function patternsOf({ path, model, tenant, headers }: RouteSettings['match']): Pattern[] {
  return [
    ...(path === undefined ? [] : [{ at: ['path'], pattern: path }]),
    ...(model === undefined ? [] : [{ at: ['model'], pattern: model }]),
    ...(tenant === undefined ? [] : [{ at: ['tenant'], pattern: tenant }]),
    ...Object.entries(headers ?? {}).map(([name, pattern]) => ({ at: ['headers', name], pattern })),
  ]
}

const MORE =
  '* stands for one or more characters: give that a route of its own; for one model write match: { model: NAME }'
const ONLY = '* alone stands for one or more characters, every other sign for itself'

interface NamedListener extends HostPort {
  readonly path: Path
}

/** Only a warning: the command line may override the first two. */
function clashes({ server, admin, pools }: Settings): Issue[] {
  const listeners: NamedListener[] = [
    { path: ['server', 'listen'], ...server.listen },
    { path: ['admin', 'listen'], ...admin.listen },
    ...scalersOf(pools),
  ]
  return listeners.flatMap((one, i) => {
    const other = listeners.slice(0, i).find((earlier) => isTaken(one, earlier))
    if (!other) return []
    return [warning(one.path, `${printPath(other.path)} has this port already`, 'give each one of its own')]
  })
}

/** Pools may share a scaler: the same address is one listener. */
function scalersOf(pools: Settings['pools']): NamedListener[] {
  const found = new Map<string, NamedListener>()
  for (const [name, { scale }] of Object.entries(pools)) {
    for (const [i, emit] of (scale?.emit ?? []).entries()) {
      if (emit.type !== 'keda' || found.has(emit.listen)) continue
      const colon = emit.listen.lastIndexOf(':')
      const [host, port] = [emit.listen.slice(0, colon), Number(emit.listen.slice(colon + 1))]
      const path = ['pools', name, 'scale', 'emit', i, 'listen']
      found.set(emit.listen, { path, host: host.replace(/^\[|\]$/g, ''), port })
    }
  }
  return [...found.values()]
}

const EVERYWHERE = new Set(['0.0.0.0', '::'])

function isTaken(one: HostPort, other: HostPort): boolean {
  const isSameHost = one.host === other.host || EVERYWHERE.has(one.host) || EVERYWHERE.has(other.host)
  return one.port !== 0 && one.port === other.port && isSameHost
}
