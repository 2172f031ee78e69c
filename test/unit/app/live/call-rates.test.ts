/** Rates from the counts of workers, of which any may begin anew. */
import { expect, it } from 'vitest'
import { CallRateMeter } from '../../../../src/app/live/call-rates.ts'
import { quantileIn } from '../../../../src/app/live/quantile.ts'
import { createMetrics } from '../../../../src/obs/metrics.ts'

type Counted = ReturnType<typeof createMetrics>

const hit = { kind: 'hit', tier: 'memory', ageMs: 0, ttlMs: 1 } as const
const miss = { kind: 'miss', stored: true, collapsed: false } as const

function answer(metrics: Counted, outcome: typeof hit | typeof miss, more: object = {}): void {
  metrics.answered({
    requestId: 'r',
    door: 'fast',
    route: 'main',
    protocol: 'oip',
    status: 200,
    ms: 2,
    outcome,
    ...more,
  })
}

it('says what has happened since the last look, a second, and of calls from before the first nothing', () => {
  const [one, two] = [createMetrics(0), createMetrics(1)]
  answer(one, miss)
  const meter = new CallRateMeter()
  const look = () =>
    new Map([
      [0, one.callTotals()],
      [1, two.callTotals()],
    ])
  expect(meter.read(look(), 1).calls).toMatchObject({ perSecond: 0, latencyMs: {} })
  for (let i = 0; i < 6; i++) answer(one, hit)
  for (let i = 0; i < 2; i++) answer(two, miss)
  answer(two, miss, { status: 502, fault: 'backendRefused' })
  one.attempted('pool', 'a', 'ok', 3)
  two.attempted('pool', 'a', 'error', 3)
  const { calls, routes, attempts } = meter.read(look(), 2)
  expect(calls).toMatchObject({
    perSecond: 4.5,
    cache: { hit: 3, miss: 1.5 },
    hitRatio: 0.6667,
    errorsPerSecond: 0.5,
    refusedPerSecond: 0,
  })
  expect(calls.latencyMs.p50).toBeGreaterThan(1)
  expect(calls.latencyMs.p99).toBeLessThanOrEqual(2.5)
  expect(routes).toMatchObject([{ route: 'main', perSecond: 4.5 }])
  expect(attempts).toEqual([{ pool: 'pool', backend: 'a', perSecond: 1, failedPerSecond: 0.5 }])
  expect(meter.read(look(), 1)).toMatchObject({ calls: { perSecond: 0 }, routes: [], attempts: [] })
})

it('a worker that begins anew counts from zero, and its errors are not forgotten', () => {
  const meter = new CallRateMeter()
  const first = createMetrics(1)
  meter.read(new Map([[1, first.callTotals()]]), 1)
  for (let i = 0; i < 5; i++) answer(first, miss, { status: 503, fault: 'noBackend' })
  meter.read(new Map([[1, first.callTotals()]]), 1)
  const second = createMetrics(1)
  answer(second, miss, { status: 503, fault: 'noBackend' })
  expect(meter.read(new Map([[1, second.callTotals()]]), 1).calls.perSecond).toBe(1)
  expect(meter.faults()).toEqual([{ route: 'main', fault: 'noBackend', count: 6 }])
})

it.each([
  ['nothing', [0, 0, 0], 0.5, undefined],
  ['within a bucket', [0, 10, 0], 0.5, 1.5],
  ['in the first one', [4, 0, 0], 0.5, 0.5],
  ['above every bound', [0, 0, 3], 0.5, 2],
])('a quantile of %s', (_, counts, q, wanted) => {
  expect(quantileIn(counts, [1, 2], q)).toBe(wanted)
})
