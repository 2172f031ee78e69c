/**
 * The admin API of warmings: started with a route's sample, or with calls that are sent. Who sends calls has them asked, and kept, in
 * the partition of whatever caller they name, which is for those who may do everything.
 */
import { isFieldName, isFieldValue } from '../../core/field-syntax.ts'
import type { WarmItem } from '../warm/source.ts'
import type { Warmings } from '../warm/warmings.ts'
import type { AdminContext, AdminReply, AdminRequest, AdminRoute } from './contract.ts'
import { Problem } from './problem.ts'
import { base64, list, number, object, oneOf, readAll, text, yes } from './validate.ts'

/** One call may be as long as the longest that is asked again, in base64. */
const REQUESTS_BYTES = 8 << 20
const MAX_REQUESTS = 512
const MAX_FIELDS = 64

const name = text({ max: 64 })

const startBody = object({
  route: name,
  pool: name.exactOptional(),
  source: oneOf('sample', 'requests').exactOptional(),
  model: text({ max: 256 }).exactOptional(),
  rate: number({ min: 0.01, max: 100_000 }).exactOptional(),
  limit: number({ min: 1, max: 10_000_000, integer: true }).exactOptional(),
})

const request = object({
  method: text({ max: 32, pattern: /^[A-Z]+$/, what: 'must be an HTTP method in capitals' }),
  path: text({ max: 8_192, pattern: /^\/[!-~]*$/, what: 'must begin with /' }),
  host: text({ max: 256 }).exactOptional(),
  headers: list(
    object({ name: text({ max: 256 }), value: text({ max: 8_192 }) }),
    MAX_FIELDS,
  ).exactOptional(),
  principal: text({ max: 1_024 }).exactOptional(),
  body: base64({ max: REQUESTS_BYTES }),
  weight: number({ min: 0, max: 1e12 }).exactOptional(),
})

const requestsBody = object({ requests: list(request, MAX_REQUESTS), end: yes.exactOptional() })

export const WARM_ROUTES: readonly AdminRoute[] = [
  {
    method: 'GET',
    path: '/api/v1/warm',
    scope: 'read',
    answer: (_, at) => ok({ warmings: warmingsOf(at).list() }),
  },
  {
    method: 'POST',
    path: '/api/v1/warm',
    scope: 'traffic',
    answer: start,
    audit: { action: 'warm.start', details: ({ body }) => ({ ...readAll(startBody, body) }) },
  },
  {
    method: 'GET',
    path: '/api/v1/warm/:warming',
    scope: 'read',
    answer: ({ params }, at) => known(params, warmingsOf(at).find(idOf(params))),
  },
  {
    method: 'DELETE',
    path: '/api/v1/warm/:warming',
    scope: 'traffic',
    answer: ({ params }, at) => known(params, warmingsOf(at).stop(idOf(params))),
    audit: { action: 'warm.stop' },
  },
  {
    method: 'POST',
    path: '/api/v1/warm/:warming/requests',
    scope: 'admin',
    maxBodyBytes: REQUESTS_BYTES,
    answer: feed,
  },
]

function start({ body }: AdminRequest, at: AdminContext): AdminReply {
  const { source = 'sample', ...spec } = readAll(startBody, body)
  return { status: 202, json: warmingsOf(at).start({ ...spec, source }) }
}

function feed({ params, body }: AdminRequest, at: AdminContext): AdminReply {
  const { requests, end } = readAll(requestsBody, body)
  return known(params, warmingsOf(at).feed(idOf(params), requests.map(itemOf), end === true))
}

type GivenRequest = ReturnType<typeof readAll<typeof request>>

function itemOf(given: GivenRequest): WarmItem {
  const { method, path: target, host = '', headers = [], principal = '', body, weight = 1 } = given
  const mark = target.indexOf('?')
  const bad = headers.find(({ name, value }) => !isFieldName(name) || !isFieldValue(value))
  if (bad) throw new Problem(400, 'a header has a name or value that no field may have')
  const path = mark < 0 ? target : target.slice(0, mark)
  const query = mark < 0 ? '' : target.slice(mark)
  const fields = headers.flatMap(({ name, value }) => [name, value])
  return {
    weight,
    request: { method, path, query, host: host.toLowerCase(), headers: fields, principal, body },
  }
}

function warmingsOf({ parts }: AdminContext): Pick<Warmings, 'start' | 'list' | 'find' | 'stop' | 'feed'> {
  if (!parts.warmings) throw new Problem(404, 'this gateway warms nothing')
  return parts.warmings
}

function idOf({ warming = '' }: AdminRequest['params']): string {
  return warming
}

function known(params: AdminRequest['params'], found: unknown): AdminReply {
  if (found === undefined) throw new Problem(404, `there is no warming "${idOf(params)}"`)
  return ok(found)
}

function ok(json: unknown): AdminReply {
  return { status: 200, json }
}
