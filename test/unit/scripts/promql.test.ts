import { expect, it } from 'vitest'
import { knownMetrics, samplePage, unknownIn } from '../../../scripts/deploy/monitoring/promql.ts'

const known = await knownMetrics(['route:infergate_calls:rate5m'])

it.each([
  'sum by (job, route) (rate(infergate_calls_total{status="5xx", cache=~"a{1,2}|b"}[5m])) > 0.5',
  'histogram_quantile(0.95, sum by (pool, le) (rate(infergate_backend_seconds_bucket{pool=~"$pool"}[$__rate_interval])))',
  'max(infergate_nodejs_eventloop_lag_p99_seconds) and on (instance) infergate_ready == 1',
  'route:infergate_calls:rate5m{route="r"} offset 5m > 1 unless on (job) infergate_pool_slo_seconds{objective="p95"}',
])('finds nothing wrong with %s', (expression) => {
  expect(unknownIn(expression, known)).toEqual([])
})

it.each([
  ['infergate_call_total > 1', 'there is no metric infergate_call_total'],
  ['rate(infergate_backend_seconds[5m])', 'there is no metric infergate_backend_seconds'],
  ['pool:infergate_calls:rate5m', 'there is no metric pool:infergate_calls:rate5m'],
  ['infergate_calls_total{code="200"}', 'infergate_calls_total has no label code'],
  ['sum by (job, backend) (infergate_pool_panic)', 'no metric of it has the label backend'],
  ['infergate_ready and on (pool) infergate_workers', 'no metric of it has the label pool'],
])('finds what is wrong with %s', (expression, wanted) => {
  expect(unknownIn(expression, known)).toEqual([expect.stringContaining(wanted)])
})

it('has a sample of each metric', () => {
  expect(samplePage()).toContain('infergate_calls_total{route="a",cache="a",status="a"} 1\n')
  expect(samplePage()).toContain('infergate_backend_seconds_bucket{pool="a",le="+Inf"} 1\n')
})
