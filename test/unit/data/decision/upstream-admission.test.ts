// How long a request counts among those that its tenant may have at backends.
import { expect, it } from 'vitest'
import { GatewayError } from '../../../../src/core/errors.ts'
import { TenantLimits } from '../../../../src/data/decision/tenant-limits.ts'
import { UpstreamAdmission } from '../../../../src/data/decision/upstream-admission.ts'
import { Deferred } from '../../../../src/lib/deferred.ts'
import { callOf } from '../../../../src/testing/protocol-call.ts'
import { silentObserver } from '../../../support/observer.ts'
import { tenantTables } from '../../../support/tenant-tables.ts'

const identity = { tenant: 'a', subject: 'a', principal: 'a', policy: { name: 'a', concurrency: 1 } }
const call = { ...callOf(new Uint8Array(0)), identity }
const admission = () => new UpstreamAdmission(new TenantLimits(tenantTables(() => 0)), silentObserver)
const CROWDED = /as many requests running as it may/

it('until its answer is over', async () => {
  const upstream = admission()
  const over = Promise.withResolvers<void>()
  const answer = new Deferred<string>()
  const first = upstream.admit(call, { rows: 1, send: () => answer, over: () => over.promise })
  await expect(upstream.admit(call, { rows: 1, send: () => answer })).rejects.toThrow(CROWDED)
  answer.settle('answer')
  expect(await first).toBe('answer')
  await expect(upstream.admit(call, { rows: 1, send: () => answer })).rejects.toThrow(CROWDED)
  over.resolve()
  await over.promise
  expect(await upstream.admit(call, { rows: 1, send: () => answer })).toBe('answer')
})

it.each([
  ['fails', () => failed()],
  [
    'throws, as for a pool that a reload has removed',
    () => {
      throw new GatewayError('noBackend', 'gone')
    },
  ],
])('no longer where sending it %s', async (_, send) => {
  const upstream = admission()
  for (let round = 0; round < 3; round++)
    await expect((async () => upstream.admit(call, { rows: 1, send }))()).rejects.toThrow('gone')
})

function failed(): Deferred<string> {
  const answer = new Deferred<string>()
  answer.fail(new GatewayError('noBackend', 'gone'))
  return answer
}

it('a call that is refused for one limit is charged nothing of the others', async () => {
  const tables = tenantTables(() => 0)
  const upstream = new UpstreamAdmission(new TenantLimits(tables), silentObserver)
  const hour = { count: 100, perMs: 3_600_000 }
  const answer = new Deferred<string>()
  const tokens = { estimate: { input: 60, output: 0 }, follow: () => () => ({ input: 60, output: 0 }) }
  const ask = (policy: object, rows: number) =>
    upstream.admit(
      { ...callOf(new Uint8Array(0)), identity: { ...identity, policy: { name: 'a', ...policy } } },
      { rows, send: () => answer, tokens },
    )
  const rate = { tokens: hour, rows: { count: 1, perMs: 3_600_000 }, burst: 3_600_000 }
  void ask({ rate }, 1)
  for (let i = 0; i < 5; i++) await expect(ask({ rate }, 1)).rejects.toThrow('its rows')
  // 40 of 100 tokens are left, and rows are not limited any more.
  void ask({ rate: { tokens: hour, burst: 3_600_000 } }, 1)
  await expect(ask({ rate }, 1)).rejects.toThrow('its tokens')
})
