import { expect, it } from 'vitest'
import type { Answered } from '../../../src/core/observer.ts'
import { createMetrics } from '../../../src/obs/metrics.ts'

const answered: Answered = {
  door: 'fast',
  requestId: 'id',
  route: 'main',
  protocol: 'tfserving',
  status: 200,
  outcome: { kind: 'hit', tier: 'memory', ageMs: 0, ttlMs: 1 },
  ms: 0.5,
}

it('counts calls by route, by what the cache did, by status class and by door, and their times cumulatively', async () => {
  const metrics = createMetrics()
  metrics.answered(answered)
  metrics.answered({ ...answered, door: 'http', ms: 3 })
  metrics.answered({ ...answered, ms: 60_000, status: 504, fault: 'deadline', outcome: { kind: 'none' } })
  metrics.answered({ ...answered, outcome: { kind: 'miss', stored: true, collapsed: true } })
  const expose = async () => (await metrics.expose()).body.split('\n')
  const lines = await expose()
  expect(lines.filter((line) => /^infergate_(calls|requests|faults)_total\{/.test(line)).sort()).toEqual([
    'infergate_calls_total{route="main",cache="collapsed",status="2xx"} 1',
    'infergate_calls_total{route="main",cache="hit",status="2xx"} 2',
    'infergate_calls_total{route="main",cache="none",status="5xx"} 1',
    'infergate_faults_total{route="main",fault="deadline"} 1',
    'infergate_requests_total{door="fast"} 3',
    'infergate_requests_total{door="http"} 1',
  ])
  const seconds = (cache: string) =>
    lines
      .filter((line) => line.startsWith('infergate_call_seconds') && line.includes(`cache="${cache}"`))
      .map((line) => line.replace(/^infergate_call_seconds_/, '').replace(/,?route="main",cache="\w+"/, ''))
  expect(seconds('hit')).toContain('bucket{le="0.0005"} 1')
  expect(seconds('hit')).toContain('bucket{le="0.0025"} 1')
  expect(seconds('hit')).toContain('bucket{le="0.005"} 2')
  expect(seconds('hit')).toContain('bucket{le="+Inf"} 2')
  expect(seconds('hit').at(-2)).toBe('sum{} 0.0035')
  expect(seconds('none')).toContain('bucket{le="30"} 0')
  expect(seconds('none')).toContain('bucket{le="+Inf"} 1')
  // What was exposed is not counted again.
  expect(await expose()).toEqual(expect.arrayContaining(lines.filter((line) => line.includes('_total{'))))
})

it('counts attempts by backend and ending, and their times by pool', async () => {
  const metrics = createMetrics()
  metrics.attempted('main', 'a', 'ok', 3)
  metrics.attempted('main', 'a', 'ok', 40)
  metrics.attempted('main', 'b', 'timeout', 60_000)
  metrics.attempted('other', 'a', 'error', 1)
  const lines = (await metrics.expose()).body
    .split('\n')
    .filter((line) => line.startsWith('infergate_backend'))
  expect(lines).toEqual(
    expect.arrayContaining([
      'infergate_backend_attempts_total{pool="main",backend="a",ending="ok"} 2',
      'infergate_backend_attempts_total{pool="main",backend="b",ending="timeout"} 1',
      'infergate_backend_attempts_total{pool="other",backend="a",ending="error"} 1',
      'infergate_backend_seconds_bucket{le="0.005",pool="main"} 1',
      'infergate_backend_seconds_bucket{le="30",pool="main"} 2',
      'infergate_backend_seconds_bucket{le="+Inf",pool="main"} 3',
      'infergate_backend_seconds_sum{pool="main"} 60.043',
      'infergate_backend_seconds_count{pool="main"} 3',
      'infergate_backend_seconds_count{pool="other"} 1',
    ]),
  )
})

it('has a bounded number of series, whatever names callers and backends make up', async () => {
  const metrics = createMetrics()
  for (let i = 0; i < 3_000; i++) {
    metrics.rows(`m${i}`, { hit: 1, join: 0, miss: 2, dup: 0 })
    metrics.splitting(`m${i}`, 'proved')
  }
  for (let i = 0; i < 6_000; i++) metrics.attempted('main', `pod-${i}`, 'ok', 1)
  const { body } = await metrics.expose()
  const samples = (name: string) => body.split('\n').filter((line) => line.startsWith(`${name}{`))
  const sum = (lines: readonly string[]) =>
    lines.reduce((all, line) => all + Number(line.split(' ').at(-1)), 0)
  const rows = samples('infergate_cache_rows_total')
  expect(rows).toHaveLength(2 * 257)
  expect(sum(rows)).toBe(9_000)
  expect(rows).toContain('infergate_cache_rows_total{model="other",result="hit"} 2744')
  expect(samples('infergate_cache_row_splitting_total')).toHaveLength(257)
  const attempts = samples('infergate_backend_attempts_total')
  expect(attempts).toHaveLength(4_097)
  expect(sum(attempts)).toBe(6_000)
})

it('calls nothing a total that is none: _total is for counters', async () => {
  const { body } = await createMetrics().expose()
  const types = [...body.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type])
  expect(types.length).toBeGreaterThan(20)
  for (const [name, type] of types)
    expect([name, type]).toEqual([name, name?.endsWith('_total') ? 'counter' : type])
})
