/** Which answers of an opaque route may be kept, and how long (RFC 9111, sections 3 and 4.2.2). */
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

/** How an answer is kept; milliseconds. */
export interface Keeping extends Life {
  /** Request fields that chose it. */
  readonly names: readonly string[]
  /** How long after `ttlMs` it is still of use: to be asked about, or given where that is allowed. */
  readonly restMs: number
}

/** Kept for the route's ttl without a word of the backend's; the other statuses that HTTP allows are errors (section 4.2.2). */
const HEURISTIC = new Set([200, 203, 204, 300, 301, 308])
/** Said of the URL or the method, and kept as long as refusals are; others may be of a field that no key covers. */
const NEGATIVE = new Set([404, 405, 410, 414, 501])
/** Statuses of which a cache must know more than we do: parts of an answer, and answers about one that is kept elsewhere. */
const NEVER = new Set([206, 304])
/** What `must-understand` wants understood (section 5.2.2.3). */
const UNDERSTOOD = new Set([
  200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 404, 405, 410, 414, 500, 501, 503,
])

interface Judged {
  readonly said: ResponseDirectives
  readonly route: RouteCache
  /** The caller sent credentials. */
  readonly isAuthorized: boolean
  /** It is the answer to a GET. */
  readonly isRead: boolean
}

/** Undefined: it must not be kept, or would be of no use. */
export function keepingOf(
  head: ResponseHead,
  arrival: Arrival,
  { said, route, isAuthorized, isRead }: Judged,
): Keeping | undefined {
  const { status, headers } = head
  const names = selectingFields(headers)
  if (!names || isForbidden(head, said)) return undefined
  // Who shares answers shares those of callers with credentials only by the backend's leave (section 3.5).
  if (isAuthorized && route.scope === 'shared' && route.heedBackend && !said.forAll) return undefined
  const isStated = said.noCache || statedLifetime(said, arrival) !== undefined
  const isGood = isRead ? HEURISTIC.has(status) : status === 200
  const heuristic = isGood ? route.ttl : NEGATIVE.has(status) ? route.negativeTtl : 0
  if (!isStated && heuristic === 0) return undefined
  const life = lifeOf(said, arrival, isStated ? route.ttl : heuristic)
  const windows = staleWindows(said, route)
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

/** How long an answer that is too old may be given, by its own fields and the route's settings (RFC 5861). */
export function staleWindows(
  said: ResponseDirectives,
  route: RouteCache,
): { readonly swrMs: number; readonly sieMs: number } {
  if (said.noCache || said.mustRevalidate) return NO_WINDOWS
  return {
    swrMs: said.swrMs === undefined ? route.staleWhileRevalidate : Math.min(said.swrMs, route.ttl),
    sieMs: said.sieMs === undefined ? route.staleIfError : Math.min(said.sieMs, route.ttl),
  }
}

const NO_WINDOWS = { swrMs: 0, sieMs: 0 }
