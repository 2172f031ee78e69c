/**
 * Which answers may be kept, and what of them. Only a complete good answer that is everybody's who has the same key:
 * no cookie, nothing that its sender calls private, no selection by a header that the key does not cover.
 */
import { headerAll, type RawPairs } from '../../core/call.ts'
import { JOINED_BYTES } from '../../core/chunks.ts'
import type { Reply } from '../../core/reply.ts'
import type { Protocol } from '../../protocol/protocol.ts'
import { verdictOf } from '../../protocol/verdict.ts'
import { isStreamed } from '../cache/streamed.ts'
import { NOTHING_SAID, type ResponseDirectives, saidBy } from '../http-cache/response-directives.ts'

export interface StorePolicy {
  /** Whose rules say whether the answer is one, and whether it streams. */
  readonly protocol: Pick<Protocol, 'verdict' | 'isStream' | 'habits'>
  readonly maxEntryBytes: number
  /** Request headers in the key; lower case. */
  readonly vary: readonly string[]
  /** Heed what the backend says of keeping it. */
  readonly heedBackend: boolean
}

/** Why this answer must not be kept, or undefined. Looks at head and trailers only. */
export function unstorable(reply: Reply, policy: StorePolicy): string | undefined {
  const { kind, code } = verdictOf(policy.protocol, reply)
  return kind === 'ok' ? unkeepable(reply, policy) : code
}

/** The same whatever it says of the call: a refusal may be kept, too, if nothing else in its head is against it. */
export function unkeepable(reply: Reply, policy: StorePolicy): string | undefined {
  const { notes = {} } = reply
  if (!notes.isPlain) {
    const forbidden = forbids(reply, policy)
    if (forbidden !== undefined) return forbidden
    // The route has a part in what is said about its fields and about keeping it, and in nothing else.
    if (!has(reply.headers, 'vary') && responseDirectivesOf(reply, {}) === NOTHING_SAID) notes.isPlain = true
  }
  notes.declared ??= Number(headerAll(reply.headers, 'content-length')[0] ?? 0)
  return notes.declared > policy.maxEntryBytes ? 'too large' : undefined
}

function forbids(reply: Reply, policy: StorePolicy): string | undefined {
  if (has(reply.headers, 'set-cookie')) return 'set-cookie'
  if (has(reply.headers, 'content-range')) return 'partial content'
  if (isStreamed(reply, policy.protocol)) return 'event stream'
  // The request's Accept-Encoding was taken out, so an encoded answer was forced on us.
  if (headerAll(reply.headers, 'content-encoding').some((coding) => coding.toLowerCase() !== 'identity'))
    return 'content-encoding'
  if (policy.heedBackend) {
    const { forbids, noCache } = responseDirectivesOf(reply, policy.protocol)
    if (forbids !== undefined) return forbids
    // Predictions are not asked about again: what must be is of no use.
    if (noCache) return 'the backend says no-cache'
  }
  const selecting = headerAll(reply.headers, 'vary').flatMap((value) => value.split(','))
  const uncovered = selecting.map((name) => name.trim().toLowerCase()).find((name) => !covered(name, policy))
  return uncovered === undefined ? undefined : `vary: ${uncovered}`
}

/** Nothing but the end of the connection ends it, so nobody can tell whether all of it came (RFC 9112, section 8). */
export function isOpenEnded({ headers }: Pick<Reply, 'headers'>): boolean {
  return !has(headers, 'content-length') && !has(headers, 'transfer-encoding')
}

/**
 * How much of an answer to so many rows is read to its end before it is passed on; a longer one streams, and is not
 * kept. Whatever the rows may have each, their answer is cut in one go, which must not take long.
 */
export function collectable(maxEntryBytes: number, rows: number): number {
  return rows <= 1 ? maxEntryBytes : Math.max(maxEntryBytes, Math.min(maxEntryBytes * rows, JOINED_BYTES))
}

/** What the backend says of keeping it, beside what its kind says of everything; read once a head. */
export function responseDirectivesOf(
  reply: StorableHead,
  { habits }: Pick<Protocol, 'habits'>,
): ResponseDirectives {
  const { headers, notes = {} } = reply
  if (habits) return saidBy(withoutFields(headers, habits), Date.now())
  notes.said ??= saidBy(headers, Date.now())
  return notes.said as ResponseDirectives
}

type StorableHead = Pick<Reply, 'headers' | 'notes'>

/** The fields but for those of which the other list has both name and value. */
function withoutFields(headers: RawPairs, others: RawPairs): RawPairs {
  const isAmong = (name: string, value: string | undefined) =>
    headerAll(others, name.toLowerCase()).some((other) => other === value)
  return headers.filter((_, i) => !isAmong(headers[i & ~1] as string, headers[i | 1]))
}

/** The fields that belong to the answer and not to the exchange that brought it. */
export function keptHeaders(reply: StorableHead, { answerFields }: AnswerRules): RawPairs {
  return answerFields ? keptOf(reply.headers, [...KEPT, ...answerFields]) : commonHeaders(reply)
}

/** The fields behind the body that belong to the answer; undefined: there are none. */
export function keptTrailers(
  { trailers }: Pick<Reply, 'trailers'>,
  { answerFields }: AnswerRules,
): RawPairs | undefined {
  const kept = answerFields && trailers ? keptOf(trailers(), answerFields) : NONE
  return kept.length === 0 ? undefined : kept
}

type AnswerRules = Pick<Protocol, 'answerFields'>

/** What any answer keeps of its head; told once a head. */
function commonHeaders({ headers, notes = {} }: StorableHead): RawPairs {
  notes.kept ??= same(keptOf(headers, KEPT))
  return notes.kept
}

/** Of those, the ones that a row is given with; the others tell of the answer it was cut from. */
export function rowHeaders(reply: StorableHead): RawPairs {
  const kept = commonHeaders(reply)
  const isPlain = !kept.some((text, i) => i % 2 === 0 && CORS.test(text))
  return isPlain ? NONE : kept.filter((_, i) => CORS.test(kept[i & ~1] as string))
}

const NONE: RawPairs = []
const CORS = /^access-control-/i

let last: RawPairs = []

/** The list before where it is equal: most answers keep the same fields, and what is made of a list is made once. */
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
  // The key covers Origin, so what is said to a page of one origin is said to pages of that origin.
  'access-control-allow-credentials',
  'access-control-allow-origin',
  'access-control-expose-headers',
  'content-type',
  'content-language',
  'inference-header-content-length',
  'x-seldon-route',
]

function covered(name: string, policy: StorePolicy): boolean {
  return name === '' || name === 'accept-encoding' || name === 'origin' || policy.vary.includes(name)
}

function has(headers: RawPairs, name: string): boolean {
  return headerAll(headers, name).length > 0
}
