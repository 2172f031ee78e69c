/**
 * Invalidation by writes (RFC 9111, section 4.4): after a method that is not safe has succeeded, no stored answer may be given
 * any more for its URL, nor for the URLs of the same host that the answer names.
 */
import { type Call, header, type RawPairs } from '../../core/call.ts'
import type { Log } from '../../core/log.ts'
import type { Answer } from '../../core/reply.ts'
import { backoffMs } from '../../lib/backoff.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Keyer, Seed } from '../key/keyer.ts'
import { inEachPool } from '../route/choose-pool.ts'
import { keepable, type Matched, type Router } from '../route/routes.ts'
import { urlDigest } from './node.ts'
import type { VariantStore } from './variant-store.ts'

export interface InvalidationParts {
  readonly keyer: Omit<Keyer, 'head'>
  readonly route: Router
  readonly written: VariantStore['written']
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
}

/** Resolves when memory does not have the answers any more. */
export type Invalidation = (call: Call, answer: Answer) => Promise<void>

/** The most invalidations that are retried at a time; each is until the answers would be too old anyway. */
const MAX_UNTOLD = 1024
const RETRY = { baseMs: 1_000, maxMs: 60_000 }

export function createInvalidation(parts: InvalidationParts): Invalidation {
  const { keyer, route, written, clock, random, log } = parts
  let untold = 0
  return async (call, { reply, outcome }) => {
    const isFromBackend = outcome.kind !== 'hit' && outcome.kind !== 'stale'
    if (!isFromBackend || reply.status >= 400) return
    const urls = await Promise.all(pathsOf(call, reply.headers).map((path) => seedsOf(call, path)))
    for (const url of urls.flat()) void forgotten(url)
  }

  async function seedsOf(call: Call, target: string): Promise<readonly Url[]> {
    const at = target.indexOf('?')
    const path = at < 0 ? target : target.slice(0, at)
    const query = at < 0 ? '' : target.slice(at)
    const { host, headers, identity } = call
    const matched = route({ method: 'GET', path, host, headers, tenant: identity?.tenant })
    if (!matched?.route.cache || !keepable(matched)) return []
    const sent = matched.route.rewrite?.path(path) ?? path
    const placed = { path: sent, query, host: call.host, target: matched.target }
    // Answers to POST are stored under the request body; a POST with another body does not invalidate them.
    const methods = call.method === 'POST' ? READS : [...READS, 'POST']
    const seeds = await Promise.all(
      inEachPool(matched)
        .flatMap(withFallbacks)
        .flatMap((pool) => methods.map(async (method) => keyer.seed(anybodys(placed, method), pool))),
    )
    const { ttl, jitter, staleWhileRevalidate, staleIfError } = matched.route.cache
    // A stale answer may be revalidated for as long again, and longer where it may be given.
    const lifeMs = ttl * (1 + jitter) + Math.max(ttl * (1 + jitter), staleWhileRevalidate, staleIfError)
    return seeds.map((seed) => ({ seed, lifeMs }))
  }

  /** Retries while a tier has the old node: other gateways use it, and this one does once its memory has evicted the new one. */
  async function forgotten({ seed: { digest, shared }, lifeMs }: Url): Promise<void> {
    const tell = () => written(urlDigest(digest), { shared, lifeMs })
    if (await tell()) return
    log.warn('cache.invalidation', { reason: 'a tier could not be told' })
    if (untold >= MAX_UNTOLD) return
    untold++
    const end = clock.now() + lifeMs
    for (let attempt = 0; clock.now() < end; attempt++) {
      await new Promise<void>(
        (resolve) => void clock.after(backoffMs(attempt, { ...RETRY, random }), resolve),
      )
      if (await tell()) break
    }
    untold--
  }
}

interface Url {
  readonly seed: Seed
  readonly lifeMs: number
}

type UrlParts = Pick<Call, 'path' | 'query' | 'host' | 'target'>

/** A call without credentials and fields, from which a URL's digest is made. */
export function anybodys({ path, query, host, target }: UrlParts, method: string) {
  return { method, path, query, host, target, headers: NONE, principal: '' }
}

/** Answers of fallbacks are kept under their pools. */
function withFallbacks(matched: Matched): readonly Matched[] {
  const { route, protocol, target } = matched
  return [matched, ...(route.fallback ?? []).map((other) => ({ route: other, protocol, target }))]
}

const READS = ['GET', 'QUERY']
const NONE: RawPairs = []

/** The call's own path and query, and those of the same host that the answer names. */
function pathsOf(
  { path: sent, askedPath: path = sent, query, host }: Call,
  headers: RawPairs,
): readonly string[] {
  const own = `http://${host}${path}${query}`
  // Without the field, `parse` gives the call's own URL.
  const paths = new Set([path + query])
  for (const name of ['location', 'content-location']) {
    const url = URL.parse(header(headers, name) ?? '', own)
    if (url?.host === URL.parse(own)?.host) paths.add(`${url?.pathname}${url?.search}`)
  }
  return [...paths]
}
