import { expect, it } from 'vitest'
import { measurePools } from '../../../src/app/pool-metrics.ts'
import type { Settings } from '../../../src/config/schema.ts'
import type { Backend } from '../../../src/core/backend.ts'
import type { BackendTraffic } from '../../../src/data/backend/traffic.ts'
import { createMetrics } from '../../../src/obs/metrics.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const clock = new FakeClock()

function backend(id: string, slot: number, state: Backend['state'] = 'ready', generation = 1): Backend {
  const url = `http://127.0.0.1:${slot + 1}`
  return { id, slot, generation, url, models: [], weight: 1, state, reason: '', readySince: 0 }
}

function traffic(slot: number, state: string, more: Partial<BackendTraffic> = {}): BackendTraffic {
  return { slot, effective: { state, reason: '' }, share: 1, ...more }
}

const OF_POOL = { queued: 3, retriesLeft: 0, panic: true, failing: false }
let backends = [backend('a', 0), backend('b', 1), backend('a', 2, 'draining', 0), backend('c', 3, 'warming')]
const metrics = createMetrics()
measurePools(
  {
    metrics,
    registry: { views: () => [{ pool: 'main', revision: 1, backends }] },
    data: {
      inflight: (slot) => slot + 5,
      traffic: () => ({
        ...OF_POOL,
        backends: [
          traffic(0, 'ready', { latencyMs: 20, limit: 7 }),
          traffic(1, 'ejected'),
          traffic(2, 'draining'),
          traffic(3, 'warming'),
        ],
      }),
    },
    clock,
  },
  () => SETTINGS,
)
const SETTINGS = {
  routes: [{ name: 'ranker', pool: 'main' }],
  pools: { main: { slo: { ttft: 500, itl: 50 } }, other: {} },
  models: [{ name: 'digits', slo: { p95: 200 } }],
} as unknown as Settings

async function samples(name: string): Promise<string[]> {
  const { body } = await metrics.expose()
  return body
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`))
    .map((line) => line.slice(name.length))
}

it('has the backends of a pool by the state in force, and none twice under one id', async () => {
  const states = await samples('infergate_pool_backends')
  expect(states).toHaveLength(11)
  expect(states.filter((line) => !line.endsWith(' 0'))).toEqual([
    '{pool="main",state="ready"} 1',
    '{pool="main",state="ejected"} 1',
    '{pool="main",state="warming"} 1',
  ])
  expect(await samples('infergate_backend_inflight_calls')).toEqual([
    '{pool="main",backend="a"} 5',
    '{pool="main",backend="b"} 6',
    '{pool="main",backend="c"} 8',
  ])
  expect(await samples('infergate_backend_latency_seconds')).toEqual(['{pool="main",backend="a"} 0.02'])
  expect(await samples('infergate_backend_limit_calls')).toEqual(['{pool="main",backend="a"} 7'])
})

it('has what waits, panic, promises, and where routes lead', async () => {
  expect(await samples('infergate_pool_queue_calls')).toEqual(['{pool="main"} 3'])
  expect(await samples('infergate_pool_panic')).toEqual(['{pool="main"} 1'])
  expect(await samples('infergate_pool_failing')).toEqual(['{pool="main"} 0'])
  expect(await samples('infergate_route_info')).toEqual(['{route="ranker",pool="main"} 1'])
  expect(await samples('infergate_pool_slo_seconds')).toEqual([
    '{pool="main",objective="ttft"} 0.5',
    '{pool="main",objective="itl"} 0.05',
    '{pool="digits",objective="p95"} 0.2',
  ])
})

it('reads a pool anew for the next scrape', async () => {
  backends = backends.slice(0, 1)
  clock.advance(1_000)
  expect(await samples('infergate_backend_inflight_calls')).toEqual(['{pool="main",backend="a"} 5'])
})
