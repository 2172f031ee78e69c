/**
 * Explains why a request is, or is not, answered from the cache: what the pipeline would decide about it. Nothing is sent
 * to a backend, and nothing is stored.
 */
import { type Call, header } from '../../core/call.ts'
import { Chunks } from '../../core/chunks.ts'
import { GatewayError } from '../../core/errors.ts'
import { type Digest, printable } from '../../core/key.ts'
import { Cancel } from '../../lib/cancel.ts'
import { cooperatively } from '../../lib/cooperative.ts'
import type { Reading } from '../../protocol/protocol.ts'
import type { AuthLive } from '../auth/authenticator.ts'
import { refusalOf } from '../auth/authorize.ts'
import { parseDirectives } from '../cache/directives.ts'
import { ageMs, remainingMs } from '../cache/entry.ts'
import type { Tiered } from '../cache/tiered.ts'
import { bypassReason } from '../decision/bypass.ts'
import type { CacheDecisions } from '../decision/cache-decision.ts'
import { callIdentity } from '../decision/call-identity.ts'
import { endToEnd } from '../http/headers.ts'
import type { HttpCache } from '../http-cache/http-cache.ts'
import type { Keyer } from '../key/keyer.ts'
import { principalOf } from '../key/meaning.ts'
import { choosePool, isSplit } from '../route/choose-pool.ts'
import { isOpen, type Matched, type Route } from '../route/routes.ts'
import { settle } from '../route/settle.ts'
import { parseTarget } from '../route/target.ts'
import type { Splitting } from '../rows/splitting.ts'

/** A request that the admin API is asked about; `path` includes the query. */
export interface ExplainQuery {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

export interface Explanation {
  readonly route: string
  readonly pool: string
  readonly protocol: string
  readonly verb: string
  readonly model?: string
  readonly version?: string
  /** The pool that gets copies of such calls, where they go to a backend, and of what share; absent: none does. */
  readonly mirror?: { readonly pool: string; readonly share: number }
  /** What the backend gets instead of the caller's; absent: the route rewrites nothing. */
  readonly sent?: { readonly path: string; readonly host?: string }
  readonly cacheable: boolean
  /** Why the call is not cacheable; absent if it is. */
  readonly reason?: string
  /** The key of the whole call; for purge by key. */
  readonly key?: string
  /** The first thousand rows. */
  readonly rows?: readonly { readonly key: string; readonly tier?: string }[]
  /** How many rows there are; present with `rows`. */
  readonly rowCount?: number
  /** The tier that holds the whole call's entry, with the entry's age and remaining lifetime in milliseconds. */
  readonly kept?: { readonly tier: string; readonly ageMs: number; readonly ttlMs: number }
}

export interface ExplainParts {
  readonly keyer: Keyer
  readonly decisions: Pick<CacheDecisions, 'of'>
  readonly http: Pick<HttpCache, 'explain'>
  readonly cache: Tiered
  readonly memory: string
  readonly splitting: Pick<Splitting, 'reads' | 'splits'>
  readonly wall: () => number
  readonly random: () => number
}

/**
 * Longer bodies are not read into rows. An explanation must not delay calls: a batch of 100,000 rows once blocked the event
 * loop for a second. A body of this length takes some 20 ms, however short its rows are.
 */
const ROWS_BYTES = 128 << 10
const MAX_ROWS = 1000

/** The request as a call, with the route that it matches. Rejects with the refusal where the caller would be refused. */
export async function calledBy(
  { method, path: raw, headers = {}, body = '' }: ExplainQuery,
  { route, auth }: Pick<AuthLive, 'route' | 'auth'>,
): Promise<{ readonly call: Call; readonly matched: Matched }> {
  const { path, query } = parseTarget(raw)
  const pairs = endToEnd(Object.entries(headers).flat())
  const host = header(pairs, 'host')?.toLowerCase() ?? ''
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  const caller = await auth?.identify(pairs, NOWHERE)
  const identity = caller?.identity
  const found = route({ method, path, host, headers: pairs, tenant: identity?.tenant })
  const matched = found && isOpen(found) ? settle(found, bytes) : found
  if (!matched) throw new GatewayError('unknownRoute', `no route matches ${method} ${path}`)
  const refusal = caller && refusalOf(caller, matched)
  if (refusal) throw refusal
  const foreign = auth?.foreign(NOWHERE)
  const known = auth && identity && callIdentity(pairs, matched, { auth, identity, foreign })
  const sent = matched.route.rewrite?.path(path) ?? path
  const call = {
    id: 'explain',
    method,
    path: sent,
    query,
    host,
    headers: pairs,
    peer: '',
    principal: principalOf(pairs),
    identity: undefined,
    target: matched.target,
    body: bytes,
    deadline: Number.POSITIVE_INFINITY,
    signal: new Cancel(),
    ...known,
  }
  return { call, matched }
}

/** The request comes from an operator, and not over a caller's connection. */
const NOWHERE = { peer: '' }

export async function explain(parts: ExplainParts, call: Call, asked: Matched): Promise<Explanation> {
  const { matched } = isSplit(asked) ? await choosePool(call, asked, parts.random) : { matched: asked }
  const { route, protocol, target } = matched
  const facts = {
    route: route.name,
    pool: route.pool,
    protocol: protocol.name,
    verb: target.verb,
    ...mirrorOf(route),
    ...sentOf(call, route),
    ...(target.model === undefined ? {} : { model: target.model }),
    ...(target.version === undefined ? {} : { version: target.version }),
  }
  const reason = bypassReason(call, matched, parseDirectives(call.headers))
  if (reason !== undefined) return { ...facts, cacheable: false, reason }
  const { http } = await parts.decisions.of(call, matched)
  if (http) {
    const directives = parseDirectives(call.headers)
    return {
      ...facts,
      cacheable: true,
      ...(await parts.http.explain(call, matched, { directives, seeds: http })),
    }
  }
  const seed = await parts.keyer.seed(call, matched)
  const plan = await read(call, matched, {
    seed: seed.digest,
    split: parts.splitting.reads(matched) === 'rows',
  })
  if ('bypass' in plan) return { ...facts, cacheable: false, reason: plan.bypass }
  const isInRows = plan.rows !== undefined && parts.splitting.splits(matched, plan)
  const listed = isInRows ? plan.rows?.slice(0, MAX_ROWS).map(({ digest }) => digest) : undefined
  const [whole, ...ofRows] = await locate(parts, [plan.whole, ...(listed ?? [])])
  const rows = listed?.map((digest, i) => {
    const tier = ofRows[i]?.tier
    return { key: printable(digest), ...(tier === undefined ? {} : { tier }) }
  })
  return {
    ...facts,
    cacheable: true,
    key: printable(plan.whole),
    ...(rows ? { rows, rowCount: plan.rows?.length ?? 0 } : {}),
    ...(whole ? { kept: whole } : {}),
  }
}

function sentOf({ path }: Call, { rewrite }: Route): Pick<Explanation, 'sent'> {
  if (!rewrite) return {}
  const { host } = rewrite
  return { sent: { path, ...(host !== undefined && { host }) } }
}

function mirrorOf({ mirror, pool }: Route): Pick<Explanation, 'mirror'> {
  const { setting } = mirror ?? {}
  const isSent = setting && setting.share > 0 && setting.pool !== pool
  return isSent ? { mirror: { pool: setting.pool, share: setting.share } } : {}
}

/** Reads the body; a long one in steps, so that calls are not held up. */
function read(
  call: Call,
  { protocol }: Matched,
  options: { readonly seed: Digest; readonly split: boolean },
): Reading | Promise<Reading> {
  const body = call.body as Uint8Array
  if (body.length <= ROWS_BYTES) return protocol.read(call, body, options)
  const pieces = new Chunks([body])
  return cooperatively(protocol.readChunks({ ...call, body: pieces }, pieces, options), call.signal)
}

/** Looks the digests up in memory, and then all that memory lacks in one request to the shared tiers. */
async function locate({ cache, memory, wall }: ExplainParts, digests: readonly Digest[]) {
  const inMemory = digests.map((digest) => cache.peek(digest))
  const missing = digests.filter((_, i) => !inMemory[i])
  const inTiers = missing.length === 0 ? [] : await cache.lookup(missing)
  const now = wall()
  return inMemory.map((entry) => {
    const found = entry ? { entry, tier: memory } : inTiers.shift()
    if (!found) return undefined
    return {
      tier: found.tier,
      ageMs: Math.round(ageMs(found.entry, now)),
      ttlMs: Math.round(remainingMs(found.entry, now)),
    }
  })
}
