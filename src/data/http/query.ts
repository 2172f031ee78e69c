/**
 * QUERY (RFC 10008) on a prediction: POST's safe twin, whose answers any cache on the way may keep. So a kept answer
 * tells its validator and how long it stays fresh, and a caller who has it already is told so (304). POST answers
 * never do: a cache before us would keep them by URL alone, and give them to the next body.
 */
import { hash } from 'node:crypto'
import { type Call, header, headerAll, type RawPairs } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { CHOOSING_FIELDS } from '../../core/fields.ts'
import type { Answer, Outcome } from '../../core/reply.ts'
import type { Matched } from '../route/routes.ts'
import { age } from './status.ts'

/** Conditions that we answer ourselves: a backend knows neither our validators nor, being asked by POST, what to do. */
const OWN_CONDITIONS = new Set(['if-none-match', 'if-modified-since'])

type QueryHead = Pick<Call, 'method' | 'target' | 'headers'>

/** Whether the call is QUERY where it stands for POST. */
export function isQuery({ method, target }: Pick<Call, 'method' | 'target'>): boolean {
  return method === 'QUERY' && target?.prediction === true
}

/** Throws `badRequest` where a QUERY does not say what its content is (RFC 10008, section 2). */
export function checkQuery(call: QueryHead): void {
  if (isQuery(call) && !header(call.headers, 'content-type'))
    throw new GatewayError('badRequest', 'a QUERY request needs a Content-Type field (RFC 10008, section 2)')
}

/** Whether the condition of this name is one for the gateway. */
export function isOwnCondition(call: QueryHead, name: string): boolean {
  return isQuery(call) && OWN_CONDITIONS.has(name)
}

/** The fields that go to a backend, without conditions that are the gateway's to answer. */
export function withoutConditions(call: QueryHead, headers: RawPairs): RawPairs {
  if (!isQuery(call)) return headers
  const out: string[] = []
  for (let i = 0; i < headers.length; i += 2)
    if (!OWN_CONDITIONS.has((headers[i] as string).toLowerCase()))
      out.push(headers[i] as string, headers[i + 1] as string)
  return out
}

/** The answer with validator and freshness, or a 304 where the caller has it; answers that are not kept stay as they are. */
export function answerToQuery(call: QueryHead, { route }: Matched, answer: Answer): Answer {
  const { reply, outcome } = answer
  if (!isQuery(call) || reply.status !== 200 || !(reply.body instanceof Uint8Array)) return answer
  const fresh = freshness(outcome, route.cache?.scope === 'shared')
  if (fresh === undefined) return answer
  // Weak: the same prediction may be spelled in another way tomorrow.
  const etag = `W/"${hash('sha256', reply.body, 'hex').slice(0, 16)}"`
  // A cache on the way must tell apart what our keys do.
  const vary = [...(route.cache?.vary ?? []), ...CHOOSING_FIELDS].join(', ')
  const own = ['ETag', etag, 'Cache-Control', fresh, 'Vary', vary]
  if (has(call.headers, etag))
    return { reply: { status: 304, headers: own, body: new Uint8Array(0) }, outcome }
  const { status, headers, body } = reply
  return { reply: { status, headers: [...headers, ...own], body }, outcome }
}

/**
 * `max-age` such that, with Age taken off, what is left of it is what is left of the answer (RFC 9111, section
 * 4.2.1). Private unless the route shares answers: their key covers the caller's credentials, a shared cache's does
 * not. Undefined: the answer was not kept.
 */
function freshness(outcome: Outcome, isShared: boolean): string | undefined {
  if (!('ttlMs' in outcome) || outcome.ttlMs === undefined) return undefined
  const seconds = Math.max(0, Math.floor(outcome.ttlMs / 1000)) + (age(outcome) ?? 0)
  // Stale by `max-stale` or while it is revalidated: already too old where it arrives.
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
