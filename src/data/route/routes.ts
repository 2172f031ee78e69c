/**
 * Routes: their settings, and the router that finds the route and the dialect of a call by method, host, path and header
 * fields. Routes are tried in the order of the settings; the first that matches wins.
 */
import { header, type RawPairs, type Target } from '../../core/call.ts'
import { folded } from '../../core/fields.ts'
import { decoded, plainPath } from '../../core/path.ts'
import type { BoundedSampler } from '../../lib/bounded-sampler.ts'
import type { Sampler } from '../../lib/sampler.ts'
import type { Protocol } from '../../protocol/protocol.ts'
import type { CallReporter } from '../calls/call-reporter.ts'
import type { Cors } from './cors.ts'
import type { FieldRules } from './field-rules.ts'
import { glob } from './glob.ts'
import type { PoolWeights } from './pool-weights.ts'
import type { Rewrite } from './rewrite.ts'
import type { RouteMirror } from './route-mirror.ts'

export type RowsMode = 'auto' | 'always' | 'never'
export type LeaseMode = 'auto' | 'always' | 'never'

/** How rows of several calls share upstream requests. */
export interface RouteBatch {
  readonly maxRows: number
  /** Milliseconds. */
  readonly maxDelay: number
}

/** How a route's answers are kept. Durations in milliseconds. */
export interface RouteCache {
  readonly ttl: number
  /** Share of the ttl by which it is varied, so that entries stored together do not expire together. */
  readonly jitter: number
  readonly rows: RowsMode
  /** Whether gateways that miss the same row at once let one of them load it. */
  readonly leases: LeaseMode
  /** Who may have whose answers: each caller its own, the callers of a tenant each other's, or all. */
  readonly scope: 'caller' | 'tenant' | 'shared'
  /** Request header fields that belong to the key. Lower case. Left out: nobody has said, which some dialects need. */
  readonly vary?: readonly string[] | undefined
  readonly tags: readonly string[]
  readonly maxEntryBytes: number
  readonly staleWhileRevalidate: number
  readonly staleIfError: number
  readonly negativeTtl: number
  /** Whether the backend's Cache-Control counts; credentials, cookies and Vary always do. */
  readonly heedBackend: boolean
  /** Whether generations drawn at random are kept as well; left out: they are not. */
  readonly sampled?: boolean | undefined
}

export interface Route {
  readonly name: string
  readonly match: {
    readonly path?: string | undefined
    readonly host?: string | undefined
    readonly method?: readonly string[] | undefined
    readonly model?: string | undefined
    /** The tenant of the caller. */
    readonly tenant?: string | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
  }
  /** Dialects to try by path, in order. */
  readonly protocols: readonly Protocol[]
  /** The empty string: its calls are split over several pools. */
  readonly pool: string
  /** The pools that its calls are spread over. Left out: all go to `pool`. */
  readonly split?: RouteSplit | undefined
  /** The route as it is for calls to each of the pools that answer when `pool` cannot, in order; left out: there are none. */
  readonly fallback?: readonly Route[] | undefined
  /** The pool that gets copies of its calls; left out: there can be none. */
  readonly mirror?: RouteMirror<Route> | undefined
  /** The path and the Host that backends get; left out: the caller's path. */
  readonly rewrite?: Rewrite | undefined
  /** Changes of the fields that backends get; left out: there are none. */
  readonly requestFields?: FieldRules | undefined
  /** The same of the fields that callers get. */
  readonly answerFields?: FieldRules | undefined
  /** Backends get the Host that the caller sent instead of their own. */
  readonly keepsHost?: boolean | undefined
  /** Milliseconds a caller of this route waits at most: for the whole answer, or for the head of one that streams. */
  readonly timeout: number
  /** Milliseconds between two pieces of a body that streams, at most; left out: a minute. */
  readonly idleTimeout?: number
  /** The same request gives the same answer, and asking twice harms nobody. */
  readonly pure: boolean
  /** Explanations are kept as predictions are. Left out: they are not, since explainers sample. */
  readonly explain?: boolean
  readonly cache: RouteCache | undefined
  /** Whether the caller is asked who it is. Left out: there are no identities. */
  readonly auth?: 'required' | 'optional' | 'off'
  /** What pages of other origins may do; left out: whatever the backends say. */
  readonly cors?: Cors | undefined
  /** Calls that manage a model server pass, where the caller is asked who it is. */
  readonly manage?: boolean
  /** `any`: tenants that may use some models only may make calls here whose model is not known. */
  readonly models?: 'any' | undefined
  /** Left out: every call has a request of its own. */
  readonly batch?: RouteBatch | undefined
  /** Answers say in `Server-Timing` how long the call was in which stage. */
  readonly serverTiming?: boolean
  /** Which of its predictions the prediction log gets. Left out: it has no log. */
  readonly log?: Pick<Sampler, 'isDue' | 'takes'> | undefined
  /** Which of its hits are noted in the sample for warming. Left out: it has no sample. */
  readonly warm?: Pick<BoundedSampler, 'isDue' | 'takes'> | undefined
}

export interface RouteSplit {
  readonly weights: PoolWeights
  /** The route as it is for calls to each of the pools, in the order of `weights.pools`. */
  readonly routes: readonly Route[]
}

export interface Matched {
  readonly route: Route
  readonly protocol: Protocol
  readonly target: Target
  /**
   * The routes that the call may be for, in order, while only its body tells which: `settle` picks one when the body is
   * there. Until then `route` is the first of them. Left out: the route is settled.
   */
  readonly candidates?: readonly Matched[]
  /** Of a target that gathers: the routes that it gathers from, in order. */
  readonly gathered?: readonly Matched[]
}

/** A match that depends on the model which the body names. */
export type OpenMatched = Matched & Required<Pick<Matched, 'candidates'>>

/** A match whose pool is still to be chosen. */
export type SplitMatched = Matched & { readonly route: { readonly split: RouteSplit } }

export function isOpen(matched: Matched): matched is OpenMatched {
  return matched.candidates !== undefined
}

/** Whether the head alone does not settle under which route, or in which pool, a call is answered. */
export function isUnsettled({ candidates, route }: Matched): boolean {
  return candidates !== undefined || route.split !== undefined
}

/** The routes that a call may be for. */
export function candidatesOf(matched: Matched): readonly Matched[] {
  return matched.candidates ?? [matched]
}

/**
 * Whether an answer to such a call may be stored, where its route caches. Predictions of a known dialect may; explanations
 * only where the route says so; anything else only on a route whose one protocol is `opaque`, never where no dialect was
 * recognised.
 */
export function keepable({ route, protocol, target }: Matched): boolean {
  if (target.verb === 'explain' && route.explain !== true) return false
  if (target.prediction || target.isKeepable === true) return true
  return protocol.name === 'opaque' && route.protocols.length === 1
}

/** Whether the HTTP cache (`http-cache/`) answers the call: opaque routes have no rows. */
export function isHttpCached({ method }: { readonly method: string }, matched: Matched): boolean {
  return isHttpKept(matched) && isKept(method)
}

/** Whether the call may change what other calls read; an unknown method may change anything (RFC 9110, section 9.2.1). */
export function isHttpWrite({ method }: { readonly method: string }, matched: Matched): boolean {
  return isHttpKept(matched) && !SAFE.has(method)
}

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY'])

function isHttpKept(matched: Matched): boolean {
  return matched.protocol.name === 'opaque' && matched.route.cache !== undefined && keepable(matched)
}

/** Methods whose answers may be stored, each under its own key. */
export function isKept(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'POST' || method === 'QUERY'
}

interface RouteRequest {
  readonly method: string
  readonly host: string
  readonly path: string
  readonly headers: RawPairs
  /** The caller's; the empty string: it is anonymous. Undefined: the caller is refused, and only the dialect is asked for. */
  readonly tenant?: string | undefined
}

export type Router = (request: RouteRequest) => Matched | undefined

/** A router, and the header fields that its routes and their keys depend on. */
export interface RouteTable extends Router {
  /** Names of the header fields that any route names in `match.headers` or `vary`, as `folded` gives them. */
  readonly fields: ReadonlySet<string>
}

/** Settings that may change while calls run; they are replaced as a whole. */
export interface Live {
  readonly route: RouteTable
  readonly maxBodyBytes: number
  /** Left out: there is no access log. */
  readonly calls?: CallReporter | undefined
}

export function createRouter(routes: readonly Route[]): RouteTable {
  const compiled = routes.map((route) => ({ route, fits: compile(route) }))
  const find: Router = (request) => {
    // The path is decoded in two ways: for rules, which people write, and for dialects.
    const decodedPath = decoded(request.path) ?? request.path
    const plain = plainPath(request.path)
    const candidates: Matched[] = []
    const gathered: Matched[] = []
    for (const { route, fits } of compiled) {
      const matched = fits(request, decodedPath) ? dialect(route, request.method, plain) : undefined
      if (!matched) continue
      if (matched.target.gathers) {
        gathered.push(matched)
        continue
      }
      // Behind a route that gathers, one that does not has no part in the answer.
      if (gathered.length > 0) continue
      const { isNamedInBody = false, model } = matched.target
      if (!isNamedInBody && !matchesModel(route, model)) continue
      if (!isNamedInBody && candidates.length === 0) return matched
      candidates.push(matched)
      // This route takes any model, so the routes behind it are never reached.
      if (!isNamedInBody || route.match.model === undefined) break
    }
    const [source] = gathered
    if (source && candidates.length === 0) return { ...source, gathered }
    const [first] = candidates
    return first && { ...first, candidates }
  }
  return Object.assign(find, { fields: new Set(routes.flatMap(fieldsOf)) })
}

function fieldsOf({ match, cache }: Route): string[] {
  return [...Object.keys(match.headers ?? {}), ...(cache?.vary ?? [])].map((name) =>
    folded(name.toLowerCase()),
  )
}

/** `model`: undefined where a call names none. */
export function matchesModel({ match }: Route, model: string | undefined): boolean {
  return match.model === undefined || glob(match.model).test(model ?? '')
}

function dialect(route: Route, method: string, asked: string): Matched | undefined {
  const path = route.rewrite ? route.rewrite.path(asked) : asked
  if (path === undefined) return undefined
  for (const protocol of route.protocols) {
    const target = protocol.match(method, path)
    if (target) return { route, protocol, target }
  }
  return undefined
}

/** A caller who is refused is not let in by a route that asks nobody, but is for a tenant. */
function isForTenant({ match, auth }: Route, tenant: string | undefined): boolean {
  if (match.tenant === undefined) return true
  return tenant === undefined ? auth !== 'off' : glob(match.tenant).test(tenant)
}

function compile(route: Route): (request: RouteRequest, path: string) => boolean {
  const { match } = route
  const path = match.path === undefined ? undefined : glob(decoded(match.path) ?? match.path)
  const host = match.host === undefined ? undefined : glob(match.host.toLowerCase())
  const hasPort = /:\d+$/.test(match.host ?? '')
  const fields = Object.entries(match.headers ?? {}).map(
    ([name, value]) => [name.toLowerCase(), glob(value)] as const,
  )
  return (request, decodedPath) =>
    isForTenant(route, request.tenant) &&
    (match.method === undefined || match.method.includes(request.method)) &&
    (path === undefined || path.test(decodedPath)) &&
    (host === undefined || host.test(hasPort ? request.host : request.host.replace(/:\d*$/, ''))) &&
    fields.every(([name, value]) => value.test(header(request.headers, name) ?? ''))
}
