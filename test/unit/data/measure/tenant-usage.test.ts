/** What a tenant has used: counted by what became of its calls, given away once, added up. */
import { expect, it } from 'vitest'
import type { Answered } from '../../../../src/core/observer.ts'
import type { Outcome } from '../../../../src/core/reply.ts'
import { addUsage, type TenantCounts, TenantUsage } from '../../../../src/data/measure/tenant-usage.ts'
import { silentObserver } from '../../../support/observer.ts'

const hit = (tier: string, rows?: number): Outcome => ({ kind: 'hit', tier, ageMs: 0, ttlMs: 1, rows })
const miss = (more: { collapsed?: boolean; rows?: number } = {}): Outcome => ({
  kind: 'miss',
  stored: true,
  collapsed: false,
  ...more,
})
const rows = { hit: 4, join: 3, miss: 2, dup: 1 }

function counting() {
  const usage = new TenantUsage()
  const { answered, charged } = usage.observing(silentObserver)
  const call = (outcome: Outcome, more: Partial<Answered> = {}) =>
    answered({
      door: 'fast',
      requestId: 'id',
      route: 'r',
      protocol: 'p',
      tenant: 'mobile',
      status: 200,
      ms: 1,
      outcome,
      ...more,
    })
  return { usage, call, charged }
}

it.each<[string, Outcome, Partial<TenantCounts>]>([
  [
    'a hit is of its tier',
    hit('memory'),
    { hits: { memory: 1 }, rows: { hit: 1, join: 0, miss: 0, dup: 0 } },
  ],
  ['a hit of a batch', hit('redis', 64), { hits: { redis: 1 }, rows: { hit: 64, join: 0, miss: 0, dup: 0 } }],
  ['a miss', miss({ rows: 8 }), { calls: { miss: 1 }, rows: { hit: 0, join: 0, miss: 8, dup: 0 } }],
  [
    'a call that joined another',
    miss({ collapsed: true }),
    { calls: { collapsed: 1 }, rows: { hit: 0, join: 1, miss: 0, dup: 0 } },
  ],
  ['a call of some known rows', { kind: 'partial', stored: true, rows, ageMs: 0, ttlMs: 1 }, { rows }],
  [
    'a call past the cache',
    { kind: 'bypass', reason: 'GET' },
    { calls: { bypass: 1 }, rows: { hit: 0, join: 0, miss: 1, dup: 0 } },
  ],
  [
    'a call that asks for a new answer',
    { kind: 'request', reason: 'no-cache', stored: true, rows: 3 },
    { calls: { request: 1 }, rows: { hit: 0, join: 0, miss: 3, dup: 0 } },
  ],
  [
    'a stale answer costs no row',
    { kind: 'stale', tier: 'memory', ageMs: 1, rows: 2 },
    { calls: { stale: 1 }, hits: {}, rows: { hit: 2, join: 0, miss: 0, dup: 0 } },
  ],
])('%s', (_, outcome, wanted) => {
  const { usage, call } = counting()
  call(outcome)
  expect(usage.take().get('mobile')).toMatchObject({ refused: {}, ...wanted })
})

it('refusals are counted by the limit, or by the error, and failures are none', () => {
  const { usage, call } = counting()
  const none: Outcome = { kind: 'none' }
  call(none, { status: 429, fault: 'rateLimited', limit: 'rows' })
  call(none, { status: 429, fault: 'rateLimited', limit: 'rows' })
  call(none, { status: 403, fault: 'forbidden' })
  call(none, { status: 503, fault: 'overloaded' })
  call(none, { status: 504, fault: 'deadline' })
  expect(usage.take().get('mobile')).toMatchObject({
    calls: { none: 5 },
    rows: { hit: 0, join: 0, miss: 0, dup: 0 },
    refused: { rows: 2, forbidden: 1, overloaded: 1 },
  })
})

it('who is not known has no tenant, and where nobody is asked nothing is counted', () => {
  const { usage, call } = counting()
  const none: Outcome = { kind: 'none' }
  call(none, { status: 401, fault: 'unauthenticated' })
  call(none, { status: 401, fault: 'unauthenticated', tenant: undefined })
  call(none, { status: 403, fault: 'forbidden', tenant: undefined })
  call(hit('memory'), { tenant: undefined })
  call(none, { status: 404, fault: 'unknownRoute', tenant: undefined })
  const taken = usage.take()
  expect([...taken.keys()]).toEqual([''])
  expect(taken.get('')?.refused).toEqual({ unauthenticated: 2, forbidden: 1 })
})

it('is given away once, and adds up', () => {
  const { usage, call } = counting()
  const totals = new Map<string, TenantCounts>()
  call(hit('memory', 2))
  addUsage(totals, usage.take())
  addUsage(totals, usage.take())
  call(hit('memory', 3))
  call(miss(), { tenant: '*' })
  addUsage(totals, structuredClone(usage.take()))
  expect(totals.get('mobile')).toEqual({
    calls: { hit: 2 },
    hits: { memory: 2 },
    rows: { hit: 5, join: 0, miss: 0, dup: 0 },
    tokens: {},
    savedTokens: {},
    refused: {},
  })
  expect(totals.get('*')?.calls).toEqual({ miss: 1 })
})

it('tokens that were taken and saved, by type', () => {
  const { usage, call, charged } = counting()
  charged('mobile', { input: 5, output: 0 })
  charged('mobile', { input: 2, output: 9 })
  call(hit('memory'), { saved: { input: 7, output: 3 } })
  expect(usage.take().get('mobile')).toMatchObject({
    tokens: { input: 7, output: 9 },
    savedTokens: { input: 7, output: 3 },
  })
})
