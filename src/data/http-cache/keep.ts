/** Which answers of an opaque route may be stored, and for how long (RFC 9111, sections 3 and 4.2.2). */
import { headerAll, type RawPairs } from '../../core/call.ts'
import type { RouteCache } from '../route/routes.ts'
import { validatorsOf } from './conditions.ts'
import {
  type Arrival,
  type Life,
  lifeOf,
  type ResponseDirectives,
  statedLifetime,
} from './response-directives.ts'
import { selectingFields } from './vary.ts'

export interface ResponseHead {
  readonly status: number
  readonly headers: RawPairs
}

/** How an answer is stored; milliseconds. */
export interface Keeping extends Life {
  /** The request fields that selected it. */
  readonly names: readonly string[]
  /** How long after `ttlMs` it is still of use: for revalidation, or as a stale answer where that is allowed. */
  readonly restMs: number
}

/** Stored for the route's ttl without a lifetime of the backend's; the other statuses HTTP allows are errors (section 4.2.2). */
const HEURISTIC = new Set([200, 203, 204, 300, 301, 308])
/** Errors that concern the URL or the method, stored for the negative ttl; others may be due to a field that no key covers. */
const NEGATIVE = new Set([404, 405, 410, 414, 501])
/** Never stored by status: a part of an answer, and a 304 about an answer that the caller has. */
const NEVER = new Set([206, 304])
/** The statuses that count as understood for `must-understand` (section 5.2.2.3). */
const UNDERSTOOD = new Set([
  200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 404, 405, 410, 414, 500, 501, 503,
])

interface KeepingContext {
  readonly response: ResponseDirectives
  readonly route: RouteCache
  /** The caller sent credentials. */
  readonly isAuthorized: boolean
  /** It is the answer to a GET. */
  readonly isRead: boolean
}

/** Undefined: the answer must not be stored, or would be of no use. */
export function keepingOf(
  head: ResponseHead,
  arrival: Arrival,
  { response, route, isAuthorized, isRead }: KeepingContext,
): Keeping | undefined {
  const { status, headers } = head
  const names = selectingFields(headers)
  if (!names || isForbidden(head, response)) return undefined
  // A route that shares answers shares those to callers with credentials only if the backend allows it (section 3.5).
  if (isAuthorized && route.scope === 'shared' && route.heedBackend && !response.forAll) return undefined
  const isStated = response.noCache || statedLifetime(response, arrival) !== undefined
  const isGood = isRead ? HEURISTIC.has(status) : status === 200
  const heuristic = isGood ? route.ttl : NEGATIVE.has(status) ? route.negativeTtl : 0
  if (!isStated && heuristic === 0) return undefined
  const life = lifeOf(response, arrival, isStated ? route.ttl : heuristic)
  const windows = staleWindows(response, route)
  const toAsk = isRead && validatorsOf(headers) ? route.ttl : 0
  const restMs = Math.max(windows.swrMs, windows.sieMs, toAsk)
  const isOfUse = life.createdAt + life.ttlMs + restMs > arrival.at
  return isOfUse ? { ...life, names, restMs } : undefined
}

function isForbidden(
  { status, headers }: ResponseHead,
  { forbids, mustUnderstand }: ResponseDirectives,
): boolean {
  if (NEVER.has(status) || headerAll(headers, 'set-cookie').length > 0) return true
  return forbids !== undefined || (mustUnderstand && !UNDERSTOOD.has(status))
}

/** How long a stale answer may be given, by its own fields and the route's settings (RFC 5861). */
export function staleWindows(
  response: ResponseDirectives,
  route: RouteCache,
): { readonly swrMs: number; readonly sieMs: number } {
  if (response.noCache || response.mustRevalidate) return NO_WINDOWS
  return {
    swrMs: response.swrMs === undefined ? route.staleWhileRevalidate : Math.min(response.swrMs, route.ttl),
    sieMs: response.sieMs === undefined ? route.staleIfError : Math.min(response.sieMs, route.ttl),
  }
}

/** The same, but no longer than the route has it. */
export function windowsWithin(
  response: ResponseDirectives,
  route: RouteCache,
): { readonly swrMs: number; readonly sieMs: number } {
  const { staleWhileRevalidate, staleIfError } = route
  if (staleWhileRevalidate === 0 && staleIfError === 0) return NO_WINDOWS
  const { swrMs, sieMs } = staleWindows(response, route)
  return { swrMs: Math.min(swrMs, staleWhileRevalidate), sieMs: Math.min(sieMs, staleIfError) }
}

export const NO_WINDOWS = { swrMs: 0, sieMs: 0 }
