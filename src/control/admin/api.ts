/**
 * The routes of the admin API as a table: what each path does, who may call it, and how its body is read. The registry
 * is called directly; functions of other parts of the gateway are passed in.
 */
import { type AddressRules, parseBackendUrl } from '../../core/addresses.ts'
import type { BackendAddresses } from '../../core/backend.ts'
import {
  BOUNDS,
  type LeaseGrant,
  type PoolStatus,
  type Registration,
  type RegistrationRefusal,
  type Removal,
} from '../registry/registration.ts'
import {
  EXPLAIN_BYTES,
  patchBody,
  readExplain,
  readPurge,
  registrationBody,
  renewalBody,
  routeBody,
} from './bodies.ts'
import { calls } from './calls.ts'
import type { AdminContext, AdminParts, AdminReply, AdminRequest, AdminRoute } from './contract.ts'
import { listMetrics, readMetric } from './external-metrics.ts'
import { Problem } from './problem.ts'
import { ROLLOUT_ROUTES } from './rollouts.ts'
import { durationMs, readAll, unknownName } from './validate.ts'
import { WARM_ROUTES } from './warm.ts'

const BACKEND = '/api/v1/pools/:pool/backends/:id'

export const ROUTES: readonly AdminRoute[] = [
  { method: 'GET', path: '/livez', scope: 'open', answer: () => ok({ status: 'ok' }) },
  { method: 'GET', path: '/readyz', scope: 'open', answer: ready },
  { method: 'GET', path: '/metrics', scope: 'metrics', answer: metrics },
  { method: 'GET', path: '/api/v1/pools', scope: 'read', answer: pools },
  { method: 'GET', path: '/api/v1/pools/:pool', scope: 'read', answer: pool },
  {
    method: 'PUT',
    path: BACKEND,
    scope: 'register',
    answer: register,
    audit: {
      action: 'backend.register',
      details: ({ body }) => named(body, ['url', 'grpc', 'weight', 'zone']),
    },
  },
  { method: 'POST', path: `${BACKEND}/renew`, scope: 'register', answer: renew },
  {
    method: 'PATCH',
    path: BACKEND,
    scope: 'register',
    answer: patch,
    audit: { action: 'backend.change', details: ({ body }) => named(body, ['state', 'weight', 'models']) },
  },
  {
    method: 'DELETE',
    path: BACKEND,
    scope: 'register',
    answer: remove,
    audit: {
      action: 'backend.remove',
      details: ({ query }) => named(Object.fromEntries(query), ['drain', 'generation']),
    },
  },
  {
    method: 'GET',
    path: '/api/v1/routes',
    scope: 'read',
    answer: (_, { parts }) => ok({ routes: parts.routes() }),
  },
  {
    method: 'PATCH',
    path: '/api/v1/routes/:route',
    scope: 'traffic',
    event: 'route',
    answer: direct,
    audit: { action: 'route.traffic', details: ({ body }) => named(body, ['weights', 'mirror']) },
  },
  ...WARM_ROUTES,
  ...ROLLOUT_ROUTES,
  {
    method: 'POST',
    path: '/api/v1/cache/purge',
    scope: 'purge',
    answer: purge,
    audit: { action: 'purge', details: ({ body }) => ({ ...readPurge(body) }) },
  },
  {
    method: 'POST',
    path: '/api/v1/cache/explain',
    scope: 'read',
    maxBodyBytes: EXPLAIN_BYTES,
    answer: explain,
  },
  {
    method: 'GET',
    path: '/api/v1/cache/stats',
    scope: 'read',
    answer: async (_, at) => ok(await at.parts.stats()),
  },
  { method: 'GET', path: '/api/v1/tenants', scope: 'tenants', answer: tenants },
  { method: 'GET', path: '/api/v1/tenants/:tenant', scope: 'tenants', answer: tenants },
  { method: 'GET', path: '/api/v1/scale', scope: 'read', answer: scale },
  { method: 'GET', path: '/api/v1/scale/:pool', scope: 'read', answer: scale },
  { method: 'GET', path: '/apis/external.metrics.k8s.io/v1beta1', scope: 'read', answer: listMetrics },
  {
    method: 'GET',
    path: '/apis/external.metrics.k8s.io/v1beta1/namespaces/:namespace/:metric',
    scope: 'read',
    answer: readMetric,
  },
  { method: 'GET', path: '/api/v1/calls', scope: 'read', answer: calls },
  { method: 'GET', path: '/api/v1/events', scope: 'read', answer: 'events' },
  { method: 'GET', path: '/', scope: 'open', answer: page },
  { method: 'GET', path: '/dashboard/:file', scope: 'open', answer: page },
]

/** A pool as operators and event followers see it. */
export function describePool(status: PoolStatus, parts: AdminParts): unknown {
  const found = parts.traffic(status.pool)
  if (!found) return status
  const { backends, ...traffic } = found
  const bySlot = new Map(backends.map((backend) => [backend.slot, backend]))
  return {
    ...status,
    traffic,
    backends: status.backends.map((backend) => ({ ...backend, ...bySlot.get(backend.slot) })),
  }
}

function ready(_: AdminRequest, { parts }: AdminContext): AdminReply {
  const { ok: isReady, reasons } = parts.ready()
  return { status: isReady ? 200 : 503, json: { status: isReady ? 'ok' : 'not ready', reasons } }
}

async function metrics({ accept }: AdminRequest, { parts }: AdminContext): Promise<AdminReply> {
  const { contentType, body } = await parts.metrics(accept)
  return { status: 200, contentType, text: body }
}

function pools(_: AdminRequest, { registry, parts }: AdminContext): AdminReply {
  const all = registry.views().flatMap((view) => registry.status(view.pool) ?? [])
  return ok({ pools: all.map((status) => describePool(status, parts)) })
}

function pool({ params }: AdminRequest, { registry, parts }: AdminContext): AdminReply {
  const status = registry.status(params['pool'] ?? '')
  if (!status) throw new Problem(404, `there is no pool "${params['pool']}"`)
  return ok(describePool(status, parts))
}

function register(request: AdminRequest, { registry, rules }: AdminContext): AdminReply {
  const { pool: name, id } = backendOf(request)
  const { lease, capacity, url, grpc, ...given } = readAll(registrationBody, request.body)
  const registration: Registration = {
    ...given,
    ...addressesIn({ url, grpc }, rules),
    ...(lease?.ttlMs === undefined ? {} : { ttlMs: lease.ttlMs }),
    ...(capacity?.concurrency === undefined ? {} : { concurrency: capacity.concurrency }),
  }
  const { created, generation, ttlMs, renewAfterMs } = granted(registry.register(name, id, registration))
  return { status: created ? 201 : 200, json: { generation, ttlMs, renewAfterMs } }
}

/** The addresses in canonical form. Throws a Problem 400 that says what is wrong with them. */
function addressesIn(given: BackendAddresses, rules: AddressRules): BackendAddresses {
  const found: { -readonly [M in keyof BackendAddresses]: string } = {}
  const problems: string[] = []
  for (const member of ['url', 'grpc'] as const) {
    const text = given[member]
    if (text === undefined) continue
    const parsed = parseBackendUrl(text, rules)
    if ('url' in parsed) found[member] = parsed.url
    else problems.push(`${member} ${parsed.problem}`)
  }
  if (problems.length > 0) throw new Problem(400, problems.join('; '), { errors: problems })
  return found
}

function renew(request: AdminRequest, { registry }: AdminContext): AdminReply {
  const { pool: name, id } = backendOf(request)
  const { created: _, ...lease } = granted(registry.renew(name, id, readAll(renewalBody, request.body)))
  return ok(lease)
}

function patch(request: AdminRequest, { registry }: AdminContext): AdminReply {
  const { pool: name, id } = backendOf(request)
  const change = readAll(patchBody, request.body)
  if (Object.keys(change).length === 0)
    throw new Problem(400, 'nothing to change: give weight, models or state')
  const { generation, state } = granted(registry.patch(name, id, change))
  return ok({ generation, state })
}

function remove(request: AdminRequest, { registry }: AdminContext): AdminReply {
  const { pool: name, id } = backendOf(request)
  const { query } = request
  const known = ['drain', 'generation']
  for (const key of query.keys()) {
    if (!known.includes(key)) throw new Problem(400, `the parameter ${key} ${unknownName(key, known)}`)
  }
  const drain = query.get('drain')
  const drainMs = drain === null ? undefined : durationMs(drain)
  if (drain !== null && (drainMs === undefined || drainMs > BOUNDS.maxDrainMs)) {
    throw new Problem(400, `drain must be a duration of at most 1h, as 30s; found "${drain.slice(0, 64)}"`)
  }
  const given = query.get('generation')
  if (given !== null && !/^\d{1,15}$/.test(given)) throw new Problem(400, 'generation must be a number')
  const removal = granted(
    registry.remove(name, id, {
      ...(drainMs === undefined ? {} : { drainMs }),
      ...(given === null ? {} : { generation: Number(given) }),
    }),
  )
  return { status: 202, json: removal }
}

function direct({ params, body }: AdminRequest, { parts }: AdminContext): AdminReply {
  const { weights = {}, mirror } = readAll(routeBody, body)
  const isWeighed = Object.keys(weights).length > 0
  if (!isWeighed && !mirror)
    throw new Problem(
      400,
      'nothing to change: give weights, such as {"weights": {"POOL": 5}}, or {"mirror": {"share": 0.1}}',
    )
  const { route = '' } = params
  // Both, or nothing.
  if (mirror) parts.mirror(route, mirror, 'check')
  if (isWeighed && !parts.weigh(route, weights)) throw unknownRoute(route)
  if (mirror) parts.mirror(route, mirror, 'change')
  const changed = parts.routes().find((each) => each.route === route)
  if (!changed) throw unknownRoute(route)
  return ok(changed)
}

function unknownRoute(route: string): Problem {
  return new Problem(404, `the settings have no route "${route}"`)
}

async function purge({ body }: AdminRequest, { parts }: AdminContext): Promise<AdminReply> {
  return ok(await parts.purge(readPurge(body)))
}

async function explain({ body }: AdminRequest, { parts }: AdminContext): Promise<AdminReply> {
  return ok(await parts.explain(readExplain(body)))
}

async function tenants({ params }: AdminRequest, { parts }: AdminContext): Promise<AdminReply> {
  const answer = await parts.tenants(params['tenant'])
  if (answer === undefined)
    throw new Problem(
      404,
      `the settings name no tenant "${params['tenant'] ?? ''}"; who is not named counts under "*"`,
    )
  return ok(answer)
}

async function scale({ params }: AdminRequest, { parts }: AdminContext): Promise<AdminReply> {
  if (!parts.scale) throw new Problem(404, 'this gateway computes no scale signals')
  const answer = await parts.scale(params['pool'])
  if (answer === undefined)
    throw new Problem(404, `no pool "${params['pool'] ?? ''}" is scaled: give it a "scale" block in the YAML`)
  return ok(answer)
}

/** The dashboard loads nothing of others, and no page of others shows it. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
  "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"

async function page({ params }: AdminRequest, { parts }: AdminContext): Promise<AdminReply> {
  const { file = 'index.html' } = params
  const found = await parts.page?.(file)
  if (!found) throw new Problem(404, `the dashboard has no file ${file}`)
  const { contentType, body, etag } = found
  const headers = {
    etag,
    // Asked again each time, since the names stay the same when the gateway is updated.
    'cache-control': 'no-cache',
    'content-security-policy': PAGE_POLICY,
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
  }
  return { status: 200, contentType, text: body, headers }
}

/** These members of a body that was found valid. */
function named(body: unknown, names: readonly string[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(body as object).filter(([name]) => names.includes(name)))
}

function backendOf({ params }: AdminRequest): { pool: string; id: string } {
  const { pool: name = '', id = '' } = params
  return { pool: name, id }
}

const STATUS = { unknownPool: 404, unknownBackend: 404, conflict: 409, fenced: 409, full: 503 } as const

function granted<T extends LeaseGrant | Removal>(answer: T | RegistrationRefusal): T {
  if ('refused' in answer) throw new Problem(STATUS[answer.refused], answer.message)
  return answer
}

function ok(json: unknown): AdminReply {
  return { status: 200, json }
}
