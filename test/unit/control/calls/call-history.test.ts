/** The last calls that are kept for people: bounded, found by what they were, in two orders. */
import { expect, it } from 'vitest'
import { CallHistory, type CallQuery } from '../../../../src/control/calls/call-history.ts'
import type { CallLine } from '../../../../src/core/call-line.ts'

const line = (over: Partial<CallLine>): CallLine => ({
  ...{
    time: '',
    event: 'call',
    requestId: 'r',
    peer: '',
    method: 'GET',
    path: '/',
    status: 200,
    outcome: 'miss',
  },
  ...{ rows: 1, bytes: { in: 0, out: 0 }, ms: 1, stages: {}, attempts: [], ...over },
})

const idsOf = (
  history: CallHistory,
  query: CallQuery = {},
  order: 'newest' | 'slowest' = 'newest',
  limit = 10,
) => history.list(query, { order, limit }).map(({ requestId }) => requestId)

it('keeps the last, newest first', () => {
  const history = new CallHistory(3)
  expect(idsOf(history)).toEqual([])
  for (const requestId of ['a', 'b']) history.add(line({ requestId }))
  expect(idsOf(history)).toEqual(['b', 'a'])
  for (const requestId of ['c', 'd', 'e', 'f', 'g']) history.add(line({ requestId }))
  expect(idsOf(history)).toEqual(['g', 'f', 'e'])
  expect(idsOf(history, {}, 'newest', 2)).toEqual(['g', 'f'])
})

it('finds calls by what they were, and the slowest of them', () => {
  const history = new CallHistory()
  history.add(line({ requestId: 'a', traceId: 't', route: 'x', tenant: 'n', model: 'm', ms: 5 }))
  history.add(line({ requestId: 'b', status: 503, ms: 9 }))
  const attempt = { backend: 'b-7', ending: 'ok', at: 0, ms: 1 }
  history.add(line({ requestId: 'c', status: 504, ms: 7, attempts: [attempt] }))
  expect(idsOf(history, {}, 'slowest')).toEqual(['b', 'c', 'a'])
  for (const [query, ids] of [
    [{ route: 'x' }, ['a']],
    [{ tenant: 'n' }, ['a']],
    [{ model: 'm' }, ['a']],
    [{ id: 't' }, ['a']],
    [{ id: 'b' }, ['b']],
    [{ status: '5xx' }, ['c', 'b']],
    [{ status: '503' }, ['b']],
    [{ backend: 'b-7' }, ['c']],
    [{ slower: 7 }, ['c', 'b']],
    [{ status: '5xx', slower: 8 }, ['b']],
  ] as const)
    expect(idsOf(history, query)).toEqual(ids)
})
