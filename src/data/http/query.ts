/**
 * QUERY (RFC 10008) on a prediction: a safe POST, whose answers any cache on the way may store. So an answer that is stored
 * here carries a validator and its freshness, and a caller who has it already gets a 304. Answers to POST never do: a cache
 * before us would store them by URL alone, and give them to the next body.
 */
import { hash } from 'node:crypto'
import { type Call, header, headerAll, type RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { CHOOSING_FIELDS } from '../../core/fields.ts'
import type { Answer, Outcome } from '../../core/reply.ts'
import type { Matched } from '../route/routes.ts'
import { age } from './status.ts'

/** Conditions that the gateway evaluates: a backend knows neither our validators nor, with POST, what to do with them. */
const OWN_CONDITIONS = new Set(['if-none-match', 'if-modified-since'])

type QueryHead = Pick<Call, 'method' | 'target' | 'headers'>

/** Whether the call is a QUERY that stands for POST. */
export function isQuery({ method, target }: Pick<Call, 'method' | 'target'>): boolean {
  return method === 'QUERY' && target?.prediction === true
}

/** Throws `badRequest` where a QUERY does not say what its content is (RFC 10008, section 2). */
export function checkQuery(call: QueryHead): void {
  if (isQuery(call) && !header(call.headers, 'content-type'))
    throw new GatewayError('badRequest', 'a QUERY request needs a Content-Type field (RFC 10008, section 2)')
}

/** Whether the gateway evaluates this condition. */
export function isOwnCondition(call: QueryHead, name: string): boolean {
  return isQuery(call) && OWN_CONDITIONS.has(name)
}

/** The fields that go to a backend, without the conditions that the gateway evaluates. */
export function withoutConditions(call: QueryHead, headers: RawPairs): RawPairs {
  if (!isQuery(call)) return headers
  const out: string[] = []
  for (let i = 0; i < headers.length; i += 2)
    if (!OWN_CONDITIONS.has((headers[i] as string).toLowerCase()))
      out.push(headers[i] as string, headers[i + 1] as string)
  return out
}

/** The answer with validator and freshness, or a 304 where the caller has it; an answer that was not stored is unchanged. */
export function answerToQuery(call: QueryHead, { route }: Matched, answer: Answer): Answer {
  const { reply, outcome } = answer
  if (!isQuery(call) || reply.status !== 200 || !(reply.body instanceof Uint8Array)) return answer
  const fresh = freshness(outcome, route.cache?.scope === 'shared')
  if (fresh === undefined) return answer
  // Weak: the same prediction may be encoded in another way next time.
  const etag = `W/"${hash('sha256', reply.body, 'hex').slice(0, 16)}"`
  // A cache on the way must tell apart what our keys tell apart.
  const vary = [...(route.cache?.vary ?? []), 'origin', ...CHOOSING_FIELDS].join(', ')
  const own = ['ETag', etag, 'Cache-Control', fresh, 'Vary', vary]
  if (has(call.headers, etag))
    return { ...answer, reply: { status: 304, headers: own, body: new Uint8Array(0) } }
  const { status, headers, body } = reply
  return { ...answer, reply: { status, headers: [...headers, ...own], body } }
}

/**
 * `max-age`, to which Age is added, so that a cache on the way counts the same time left as ours (RFC 9111, section 4.2.1).
 * Private unless the route shares answers: our key covers the caller's credentials, a shared cache's does not. Undefined:
 * the answer was not stored.
 */
function freshness(outcome: Outcome, isShared: boolean): string | undefined {
  if (!('ttlMs' in outcome) || outcome.ttlMs === undefined) return undefined
  const seconds = Math.max(0, Math.floor(outcome.ttlMs / 1000)) + (age(outcome) ?? 0)
  // Given stale, by `max-stale` or while it is revalidated: it is too old as soon as it arrives.
  const maxAge = outcome.ttlMs > 0 ? seconds : 0
  return isShared ? `max-age=${maxAge}` : `private, max-age=${maxAge}`
}

/** If-None-Match compares weakly (RFC 9110, section 13.1.2). */
function has(headers: RawPairs, etag: string): boolean {
  const opaque = etag.slice(2)
  return headerAll(headers, 'if-none-match').some((value) => {
    if (value.trim() === '*') return true
    return (value.match(/(?:W\/)?"[^"]*"/g) ?? []).some((tag) => tag.replace(/^W\//, '') === opaque)
  })
}
