import { expect, it } from 'vitest'
import { measureCache, measureMemory } from '../../../src/app/cache-metrics.ts'
import { measureReloads } from '../../../src/app/gateway-metrics.ts'
import { createMetrics } from '../../../src/obs/metrics.ts'

it('tells when settings were last taken over, and whether those that were read last are in force', async () => {
  const metrics = createMetrics()
  let wall = 1_000_000
  const reloaded = measureReloads(metrics, () => wall)
  const reloads = async () =>
    (await metrics.expose()).body.split('\n').filter((line) => /^infergate_config_.* \d/.test(line))
  expect((await reloads()).toSorted()).toEqual([
    'infergate_config_last_reload_success_timestamp_seconds 1000',
    'infergate_config_last_reload_successful 1',
    'infergate_config_reloads_total{outcome="applied"} 0',
    'infergate_config_reloads_total{outcome="refused"} 0',
  ])
  wall = 2_000_000
  reloaded(true)
  wall = 3_000_000
  reloaded(false)
  expect((await reloads()).toSorted()).toEqual([
    'infergate_config_last_reload_success_timestamp_seconds 2000',
    'infergate_config_last_reload_successful 0',
    'infergate_config_reloads_total{outcome="applied"} 1',
    'infergate_config_reloads_total{outcome="refused"} 1',
  ])
})

it('adds up what workers count of the cache, and has the memory that they share once', async () => {
  const stats = {
    memory: { hits: 5, misses: 2, evictions: 3, admitted: 4, refused: 1, bytes: 2_000, entries: 7 },
    tiers: [
      {
        name: 'redis',
        state: 'open' as const,
        writes: 'closed' as const,
        hits: 0,
        misses: 0,
        garbled: 2,
        stored: 6,
        failed: 1,
        dropped: 0,
        queued: 3,
        queuedBytes: 300,
      },
    ],
    unstorable: 1,
  }
  const cache = { stats: () => stats }
  const first = createMetrics(0)
  const second = createMetrics(1)
  measureCache(first, cache)
  measureMemory(first, cache, 4_000)
  measureCache(second, cache)
  const { body } = await first.expose([await second.snapshot()])
  const lines = body.split('\n')
  for (const line of [
    'infergate_cache_memory_bytes 2000',
    'infergate_cache_memory_max_bytes 4000',
    'infergate_cache_memory_entries 7',
    'infergate_cache_memory_evictions_total 3',
    'infergate_cache_memory_lookups_total{outcome="hit"} 10',
    'infergate_cache_memory_stores_total{outcome="refused"} 2',
    'infergate_cache_tier_breakers{tier="redis",operation="read",state="open"} 2',
    'infergate_cache_tier_breakers{tier="redis",operation="read",state="closed"} 0',
    'infergate_cache_tier_breakers{tier="redis",operation="write",state="closed"} 2',
    'infergate_cache_tier_writes_total{tier="redis",outcome="stored"} 12',
    'infergate_cache_tier_queue_bytes{tier="redis"} 600',
    'infergate_cache_garbled_total{tier="redis"} 4',
    'infergate_cache_unstorable_total 2',
  ])
    expect(lines).toContain(line)
})
