import { expect, it } from 'vitest'
import { Measuring } from '../../../../src/app/rollout/measuring.ts'
import { timeBucket } from '../../../../src/lib/fine-times.ts'
import type { CallTotals } from '../../../../src/obs/call-counts.ts'
import { createMetrics } from '../../../../src/obs/metrics.ts'

const answered = (metrics: ReturnType<typeof createMetrics>, kind: 'hit' | 'miss', status = 200) =>
  metrics.answered({
    door: 'fast',
    requestId: '',
    route: 'ranker',
    pool: 'v1',
    protocol: 'tfserving',
    status,
    outcome:
      kind === 'hit'
        ? { kind, tier: 'memory', ageMs: 0, ttlMs: 1 }
        : { kind, stored: true, collapsed: false },
    ms: 1,
  })

it('gives what happened since the last look, over all workers, and nothing of what was before the first', async () => {
  const metrics = createMetrics()
  const others = new Map<number, CallTotals>()
  let compared = 3
  const measuring = new Measuring({
    own: () => metrics.callTotals(),
    others: async () => others,
    mirrors: () => ({ 'ranker v2': { compared, different: 1 } }),
  })
  metrics.attempted('v1', 'a', 'ok', 5)
  await measuring.take()
  metrics.attempted('v1', 'a', 'ok', 20)
  metrics.attempted('v1', 'a', 'error', 20)
  metrics.attempted('v1', 'a', 'cancelled', 20)
  metrics.waited('v1', 'full', undefined)
  metrics.waited('v1', 'served', 3)
  answered(metrics, 'hit')
  answered(metrics, 'hit', 404)
  answered(metrics, 'miss', 400)
  compared = 10
  expect(await measuring.take()).toEqual({
    pools: { v1: { calls: 3, bad: 3, times: [timeBucket(20), 1] } },
    routes: { ranker: { calls: 3, misses: 1 } },
    mirrors: { 'ranker v2': { compared: 7, different: 0 } },
  })
  // A worker that comes, and one that was started again and counts from the beginning.
  const worker = createMetrics(1)
  worker.attempted('v2', 'b', 'timeout', 1)
  worker.attempted('v2', 'b', 'timeout', 1)
  others.set(1, worker.callTotals())
  expect((await measuring.take()).pools).toEqual({})
  const again = createMetrics(1)
  again.attempted('v2', 'b', 'ok', 1)
  others.set(1, again.callTotals())
  expect((await measuring.take()).pools).toEqual({ v2: { calls: 1, bad: 0, times: [timeBucket(1), 1] } })
})
