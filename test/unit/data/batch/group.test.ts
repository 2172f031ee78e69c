import { describe, expect, it } from 'vitest'
import { digestOf } from '../../../../src/core/key.ts'
import { batchGroup, type Groupable } from '../../../../src/data/batch/group.ts'

const given: Groupable = {
  route: 'ranker',
  batch: digestOf('batch'),
  audience: ['all', ''],
  headers: ['Content-Type', 'application/json', 'x-tenant', 'a'],
  labels: undefined,
}

describe('the group of a batch', () => {
  it.each<[string, Partial<Groupable>]>([
    ['the route', { route: 'other' }],
    ['what the dialect compares', { batch: digestOf('other') }],
    ['the audience', { audience: ['caller', 'somebody'] }],
    ['the backends that may answer', { labels: { tier: 'gold' } }],
    ['a field', { headers: ['Content-Type', 'application/json', 'x-tenant', 'b'] }],
    ['one field more', { headers: [...given.headers, 'x-mode', 'fast'] }],
    ['where a value ends', { headers: ['Content-Type', 'application/json', 'x-tenanta', ''] }],
    ['the order of fields', { headers: ['x-tenant', 'a', 'Content-Type', 'application/json'] }],
  ])('differs with %s', (_, changes) => {
    expect(batchGroup({ ...given, ...changes })).not.toBe(batchGroup(given))
  })

  it.each([['traceparent'], ['X-Request-Id'], ['X-B3-TraceId'], ['x-forwarded-for'], ['User-Agent']])(
    'is the same whatever %s says',
    (name) => {
      const headers = [...given.headers, name, 'abc']
      expect(batchGroup({ ...given, headers })).toBe(batchGroup(given))
    },
  )

  it('is the same for names in other letters', () => {
    const headers = ['content-type', 'application/json', 'X-Tenant', 'a']
    expect(batchGroup({ ...given, headers })).toBe(batchGroup(given))
  })
})
