/** `GET /api/v1/calls`: the last calls that were slow, have failed or are in the sample of the access log. */
import { type CallOrder, type CallQuery, STATUS } from '../calls/call-history.ts'
import type { AdminContext, AdminReply, AdminRequest } from './contract.ts'
import { Problem } from './problem.ts'
import { durationMs, unknownName } from './validate.ts'

const FILTERS = ['route', 'status', 'backend', 'tenant', 'model', 'id', 'slower'] as const
const PARAMETERS: readonly string[] = [...FILTERS, 'order', 'limit']
const DEFAULT_LIMIT = 100
const MAX_LIMIT = 1000

export function calls({ query }: AdminRequest, { parts }: AdminContext): AdminReply {
  for (const key of query.keys())
    if (!PARAMETERS.includes(key))
      throw new Problem(400, `the parameter ${key} ${unknownName(key, PARAMETERS)}`)
  if (!parts.calls) throw new Problem(404, 'this gateway keeps no calls')
  return {
    status: 200,
    json: {
      accessLog: parts.keepsCalls?.() ?? false,
      calls: parts.calls(filterOf(query), { order: orderOf(query), limit: limitOf(query) }),
    },
  }
}

/** Throws a Problem 400 that says what is wrong, as the next two. */
function filterOf(query: URLSearchParams): CallQuery {
  const given = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? undefined]))
  const { status, slower } = given
  if (status !== undefined && !STATUS.test(status))
    throw new Problem(400, 'status must be a status such as 504, or a class such as 5xx')
  const slowerMs = slower === undefined ? undefined : durationMs(slower)
  if (slower !== undefined && slowerMs === undefined)
    throw new Problem(400, 'slower must be a duration, as 200ms')
  return { ...given, slower: slowerMs }
}

function orderOf(query: URLSearchParams): CallOrder {
  const order = query.get('order') ?? 'newest'
  if (order === 'newest' || order === 'slowest') return order
  throw new Problem(400, 'order must be newest or slowest')
}

function limitOf(query: URLSearchParams): number {
  const limit = Number(query.get('limit') ?? DEFAULT_LIMIT)
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIMIT) return limit
  throw new Problem(400, `limit must be a whole number from 1 to ${MAX_LIMIT}`)
}
