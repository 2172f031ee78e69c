import { describe, expect, it } from 'vitest'
import { Exemplars } from '../../../src/obs/exemplars.ts'
import { createMetrics } from '../../../src/obs/metrics.ts'
import { acceptsOpenMetrics } from '../../../src/obs/open-metrics.ts'
import { readOpenMetrics } from '../../support/open-metrics.ts'

const call = {
  door: 'fast',
  requestId: 'id',
  protocol: 'tfserving',
  status: 200,
  outcome: { kind: 'hit', tier: 'memory', ageMs: 0, ttlMs: 1 },
} as const

const traceId = (n: number) => n.toString(16).padStart(32, '0')

it('is what the standard says, with the latest traced call of each bucket', async () => {
  const metrics = createMetrics()
  const exemplars = new Exemplars()
  const route = 'a "route", with \\ and {le="5"}'
  for (const [n, ms] of [0.2, 0.4, 3, 900, 60_000, 0].entries()) {
    metrics.answered({ ...call, route, ms })
    exemplars.note(route, 'hit', { traceId: traceId(n + 1), seconds: ms / 1000, at: 1_700_000_000 + n })
  }
  const { body, contentType } = await metrics.expose([await metrics.snapshot()], exemplars)
  expect(contentType).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
  const families = readOpenMetrics(body)
  expect(families.get('infergate_calls')?.type).toBe('counter')
  const found = families
    .get('infergate_call_seconds')
    ?.samples.flatMap(({ labels, exemplar }) =>
      exemplar ? [[labels['le'], exemplar.labels['trace_id'], exemplar.value]] : [],
    )
  expect(found).toEqual([
    ['0.0005', traceId(6), 0],
    ['0.005', traceId(3), 0.003],
    ['1.0', traceId(4), 0.9],
    ['+Inf', traceId(5), 60],
  ])
})

it('has no exemplar of another series, and none that is no trace', () => {
  const exemplars = new Exemplars()
  exemplars.note('main', 'hit', { traceId: 'x"} 1\n', seconds: 1, at: 1 })
  expect(exemplars.in({ route: 'main', cache: 'hit' }, -1, 9)).toBeUndefined()
  exemplars.note('main', 'hit', { traceId: traceId(1), seconds: 1, at: 1 })
  expect(exemplars.in({ route: 'other', cache: 'hit' }, -1, 9)).toBeUndefined()
  expect(exemplars.in({ route: 'main', cache: 'hit' }, -1, 9)).toBeDefined()
})

it('forgets the series that has waited longest', () => {
  const exemplars = new Exemplars()
  for (let n = 1; n <= 5_000; n++)
    exemplars.note(`route ${n}`, 'hit', { traceId: traceId(n), seconds: 1, at: n })
  const has = (n: number) => exemplars.in({ route: `route ${n}`, cache: 'hit' }, -1, 9) !== undefined
  expect([has(1), has(904), has(905), has(5_000)]).toEqual([false, false, true, true])
})

describe('a scraper gets it', () => {
  it.each([
    ['application/openmetrics-text', true],
    ['application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1', true],
    ['text/plain;version=0.0.4;q=0.5, application/openmetrics-text; q=0.2', false],
    ['application/openmetrics-text;q=0', false],
    ['*/*', false],
    ['text/html', false],
    [undefined, false],
  ])('%s: %s', (accept, isOpen) => expect(acceptsOpenMetrics(accept)).toBe(isOpen))
})
