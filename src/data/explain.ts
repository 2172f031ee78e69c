/**
 * Why a request is, or is not, answered from the cache: what the pipeline would decide about it, said in words,
 * without sending anything or leaving anything behind.
 */
import type { Call } from '../core/call.ts'
import { printable } from '../core/key.ts'
import { bypassReason } from './bypass.ts'
import { parseDirectives } from './cache/directives.ts'
import { ageMs, remainingMs } from './cache/entry.ts'
import type { Tiered } from './cache/tiered.ts'
import type { Matched } from './ingress/routes.ts'
import type { Keyer } from './key/keyer.ts'
import type { Splitting } from './rows/splitting.ts'

/** A request as the admin API is asked about it; `path` with the query. */
export interface Asked {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export interface Explanation {
  readonly route: string
  readonly pool: string
  readonly protocol: string
  readonly verb: string
  readonly model?: string
  readonly version?: string
  readonly cacheable: boolean
  /** Why not; absent where it is. */
  readonly reason?: string
  /** Of the whole call; for purge by key. */
  readonly key?: string
  readonly rows?: readonly { readonly key: string; readonly tier?: string }[]
  /** Where the whole call is kept, with its age and what is left of its lifetime, in milliseconds. */
  readonly kept?: { readonly tier: string; readonly ageMs: number; readonly ttlMs: number }
}

export interface ExplainParts {
  readonly keyer: Keyer
  readonly cache: Tiered
  readonly memory: string
  readonly splitting: Pick<Splitting, 'reads' | 'splits'>
  readonly wall: () => number
}

export async function explain(parts: ExplainParts, call: Call, matched: Matched): Promise<Explanation> {
  const { route, protocol, target } = matched
  const facts = {
    route: route.name,
    pool: route.pool,
    protocol: protocol.name,
    verb: target.verb,
    ...(target.model === undefined ? {} : { model: target.model }),
    ...(target.version === undefined ? {} : { version: target.version }),
  }
  const reason = bypassReason(call, matched, parseDirectives(call.headers))
  if (reason !== undefined) return { ...facts, cacheable: false, reason }
  const seed = await parts.keyer.seed(call, matched)
  const plan = protocol.read(call, call.body as Uint8Array, {
    seed: seed.digest,
    split: parts.splitting.reads(matched) === 'rows',
  })
  if ('bypass' in plan) return { ...facts, cacheable: false, reason: plan.bypass }
  const found = await locate(parts, plan.whole)
  const rows =
    plan.rows && parts.splitting.splits(matched, plan)
      ? await Promise.all(
          plan.rows.map(async ({ digest }) => {
            const kept = await locate(parts, digest)
            return { key: printable(digest), ...(kept ? { tier: kept.tier } : {}) }
          }),
        )
      : undefined
  return {
    ...facts,
    cacheable: true,
    key: printable(plan.whole),
    ...(rows ? { rows } : {}),
    ...(found ? { kept: found } : {}),
  }
}

async function locate({ cache, memory, wall }: ExplainParts, digest: Parameters<Tiered['peek']>[0]) {
  const near = cache.peek(digest)
  const found = near ? { entry: near, tier: memory } : (await cache.lookup([digest]))[0]
  if (!found) return undefined
  const now = wall()
  return {
    tier: found.tier,
    ageMs: Math.round(ageMs(found.entry, now)),
    ttlMs: Math.round(remainingMs(found.entry, now)),
  }
}
