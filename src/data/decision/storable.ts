/**
 * Decides which answers may be stored, and which of their fields. An answer may be stored if it is complete, good, and the same
 * for all callers with its key: no cookie, not `private`, and no `Vary` on a field that the key does not cover.
 */
import { headerAll, type RawPairs } from '../../core/call.ts'
import { JOINED_BYTES } from '../../core/chunks.ts'
import type { Reply } from '../../core/reply.ts'
import type { Protocol } from '../../protocol/protocol.ts'
import { verdictOf } from '../../protocol/verdict.ts'
import { isStreamed } from '../cache/streamed.ts'
import {
  NO_RESPONSE_DIRECTIVES,
  type ResponseDirectives,
  readResponseDirectives,
} from '../http-cache/response-directives.ts'

export interface StorePolicy {
  /** The dialect, whose rules say whether the answer is good and whether it streams. */
  readonly protocol: Pick<Protocol, 'verdict' | 'isStream' | 'habits' | 'streamHabits'>
  readonly maxEntryBytes: number
  /** Request headers in the key; lower case. */
  readonly vary: readonly string[]
  /** Obey the backend's caching directives. */
  readonly heedBackend: boolean
  /** An answer that comes as events may be kept: the dialect knows where it ends. */
  readonly keepsEvents?: boolean
}

/** Why this answer must not be stored, or undefined. Looks at head and trailers only. */
export function unstorable(reply: Reply, policy: StorePolicy): string | undefined {
  const { kind, code } = verdictOf(policy.protocol, reply)
  return kind === 'ok' ? unkeepable(reply, policy) : code
}

/** The same whatever the verdict: a refusal may be stored, too, if nothing else in its head forbids it. */
export function unkeepable(reply: Reply, policy: StorePolicy): string | undefined {
  const { notes = {} } = reply
  if (!notes.isPlain) {
    const forbidden = forbids(reply, policy)
    if (forbidden !== undefined) return forbidden
    // Only Vary and the caching directives are judged by the route's settings. Without them every route finds the same.
    const isAnys = !has(reply.headers, 'vary') && policy.keepsEvents !== true
    if (isAnys && responseDirectivesOf(reply, {}) === NO_RESPONSE_DIRECTIVES) notes.isPlain = true
  }
  notes.declared ??= Number(headerAll(reply.headers, 'content-length')[0] ?? 0)
  return notes.declared > policy.maxEntryBytes ? 'too large' : undefined
}

function forbids(reply: Reply, policy: StorePolicy): string | undefined {
  if (has(reply.headers, 'set-cookie')) return 'set-cookie'
  if (has(reply.headers, 'content-range')) return 'partial content'
  if (policy.keepsEvents !== true && isStreamed(reply, policy.protocol)) return 'event stream'
  // Accept-Encoding was removed from the request, so an encoded answer was not negotiated: a caller may not accept it.
  if (headerAll(reply.headers, 'content-encoding').some((coding) => coding.toLowerCase() !== 'identity'))
    return 'content-encoding'
  if (policy.heedBackend) {
    const { forbids, noCache } = responseDirectivesOf(reply, policy.protocol)
    if (forbids !== undefined) return forbids
    // Predictions are not revalidated, so an entry that must be is of no use.
    if (noCache) return 'the backend says no-cache'
  }
  const selecting = headerAll(reply.headers, 'vary').flatMap((value) => value.split(','))
  const uncovered = selecting.map((name) => name.trim().toLowerCase()).find((name) => !covered(name, policy))
  return uncovered === undefined ? undefined : `vary: ${uncovered}`
}

/** Whether only the end of the connection ends the body, so nobody can tell whether it is complete (RFC 9112, section 8). */
export function isOpenEnded({ headers }: Pick<Reply, 'headers'>): boolean {
  return !has(headers, 'content-length') && !has(headers, 'transfer-encoding')
}

/**
 * The most bytes of an answer to so many rows that are collected; a longer answer streams, and is not stored. The bound
 * does not grow with every row, since an answer is cut in one go, which must not take long.
 */
export function collectable(maxEntryBytes: number, rows: number): number {
  return rows <= 1 ? maxEntryBytes : Math.max(maxEntryBytes, Math.min(maxEntryBytes * rows, JOINED_BYTES))
}

/** The backend's caching directives, without the fields that its kind puts on every answer; parsed once a head. */
export function responseDirectivesOf(
  reply: Reply,
  protocol: Pick<Protocol, 'habits' | 'streamHabits' | 'isStream'>,
): ResponseDirectives {
  const { headers, notes = {} } = reply
  const habits =
    protocol.streamHabits && isStreamed(reply, protocol) ? protocol.streamHabits : protocol.habits
  if (habits) return readResponseDirectives(withoutFields(headers, habits), Date.now())
  notes.said ??= readResponseDirectives(headers, Date.now())
  return notes.said as ResponseDirectives
}

type StorableHead = Pick<Reply, 'headers' | 'notes'>

/** The fields without those that the other list has with the same name and value. */
function withoutFields(headers: RawPairs, others: RawPairs): RawPairs {
  const isAmong = (name: string, value: string | undefined) =>
    headerAll(others, name.toLowerCase()).some((other) => other === value)
  return headers.filter((_, i) => !isAmong(headers[i & ~1] as string, headers[i | 1]))
}

/** The fields that are stored: those that belong to the answer and not to the exchange that brought it. */
export function keptHeaders(reply: StorableHead, { answerFields }: AnswerRules): RawPairs {
  const hasOwn = answerFields?.some((name) => has(reply.headers, name))
  return answerFields && hasOwn ? keptOf(reply.headers, [...KEPT, ...answerFields]) : commonHeaders(reply)
}

/** The trailers that are stored; undefined: there are none. */
export function keptTrailers(
  { trailers }: Pick<Reply, 'trailers'>,
  { answerFields }: AnswerRules,
): RawPairs | undefined {
  const kept = answerFields && trailers ? keptOf(trailers(), answerFields) : NONE
  return kept.length === 0 ? undefined : kept
}

type AnswerRules = Pick<Protocol, 'answerFields'>

/** The fields that every dialect stores; found once a head. */
function commonHeaders({ headers, notes = {} }: StorableHead): RawPairs {
  notes.kept ??= same(keptOf(headers, KEPT))
  return notes.kept
}

/** The common fields that are stored with a row. The others describe the whole answer that it was cut from. */
export function rowHeaders(reply: StorableHead): RawPairs {
  const kept = commonHeaders(reply)
  const isPlain = !kept.some((text, i) => i % 2 === 0 && OF_ROWS.test(text))
  return isPlain ? NONE : kept.filter((_, i) => OF_ROWS.test(kept[i & ~1] as string))
}

const NONE: RawPairs = []
/** CORS, and the Vary that belongs to it. */
const OF_ROWS = /^(?:access-control-|vary$)/i

let last: RawPairs = []

/** Returns the list before if it is equal: most answers have the same fields, and what is derived from a list is memoized by it. */
function same(kept: RawPairs): RawPairs {
  if (kept.length !== last.length || kept.some((text, i) => text !== last[i])) last = kept
  return last
}

function keptOf(headers: RawPairs, names: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2)
    if (names.includes((headers[i] as string).toLowerCase()))
      kept.push(headers[i] as string, headers[i + 1] as string)
  return kept
}

// An allow-list: what a server adds per request (ids, limits, traces, cookies) must never be replayed.
const KEPT: readonly string[] = [
  // The key covers Origin, so CORS fields are given to pages of the same origin only.
  'access-control-allow-credentials',
  'access-control-allow-origin',
  'access-control-expose-headers',
  'content-type',
  'content-language',
  'inference-header-content-length',
  // A cache or a browser on the way must know what chose the answer (RFC 9110, section 12.5.5).
  'vary',
  'x-seldon-route',
]

function covered(name: string, policy: StorePolicy): boolean {
  return name === '' || name === 'accept-encoding' || name === 'origin' || policy.vary.includes(name)
}

function has(headers: RawPairs, name: string): boolean {
  return headerAll(headers, name).length > 0
}
