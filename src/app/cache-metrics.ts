/** Metrics of the cache: what each worker has counted, and what all workers share. */
import type { Metrics, Sample } from '../obs/metrics.ts'
import type { Cache } from './cache.ts'

type Measured = Pick<Cache, 'stats'>
type Registering = Pick<Metrics, 'gauge' | 'counter'>

/** What one worker counts; called in each. */
export function measureCache(metrics: Registering, cache: Measured): void {
  const memory =
    (counts: (of: NonNullable<ReturnType<Cache['stats']>['memory']>) => Record<string, number>) => () => {
      const found = cache.stats().memory
      return found ? byLabel('outcome', counts(found)) : []
    }
  metrics.counter(
    'infergate_cache_memory_lookups_total',
    memory(({ hits, misses }) => ({ hit: hits, miss: misses })),
  )
  metrics.counter(
    'infergate_cache_memory_stores_total',
    memory(({ admitted, refused }) => ({ stored: admitted, refused })),
  )
  metrics.counter('infergate_cache_unstorable_total', () => [{ labels: {}, value: cache.stats().unstorable }])
  measureTiers(metrics, cache)
}

function measureTiers(metrics: Registering, cache: Measured): void {
  const tiers = (of: (tier: ReturnType<Cache['stats']>['tiers'][number]) => readonly Sample[]) => () =>
    cache
      .stats()
      .tiers.flatMap((tier) =>
        of(tier).map(({ labels, value }) => ({ labels: { tier: tier.name, ...labels }, value })),
      )
  metrics.gauge(
    'infergate_cache_tier_breakers',
    tiers(({ state, writes }) =>
      Object.entries({ read: state, write: writes }).flatMap(([operation, present]) =>
        ['closed', 'open', 'probing'].map((each) => ({
          labels: { operation, state: each },
          value: Number(each === present),
        })),
      ),
    ),
  )
  metrics.counter(
    'infergate_cache_tier_writes_total',
    tiers(({ stored, failed, dropped }) => byLabel('outcome', { stored, failed, dropped })),
  )
  metrics.counter(
    'infergate_cache_garbled_total',
    tiers(({ garbled }) => one(garbled)),
  )
  metrics.gauge(
    'infergate_cache_tier_queue_writes',
    tiers(({ queued }) => one(queued)),
  )
  metrics.gauge(
    'infergate_cache_tier_queue_bytes',
    tiers(({ queuedBytes }) => one(queuedBytes)),
  )
}

/**
 * The memory that all workers share; called once.
 * @param maxBytes those that entries may take; 0: there is no memory tier
 */
export function measureMemory(metrics: Registering, cache: Measured, maxBytes: number): void {
  const memory = (of: (memory: NonNullable<ReturnType<Cache['stats']>['memory']>) => number) => () => {
    const found = cache.stats().memory
    return found ? one(of(found)) : []
  }
  metrics.gauge(
    'infergate_cache_memory_bytes',
    memory(({ bytes }) => bytes),
  )
  metrics.gauge(
    'infergate_cache_memory_max_bytes',
    memory(() => maxBytes),
  )
  metrics.gauge(
    'infergate_cache_memory_entries',
    memory(({ entries }) => entries),
  )
  metrics.counter(
    'infergate_cache_memory_evictions_total',
    memory(({ evictions }) => evictions),
  )
}

function one(value: number): readonly Sample[] {
  return [{ labels: {}, value }]
}

function byLabel(label: string, counts: Readonly<Record<string, number>>): readonly Sample[] {
  return Object.entries(counts).map(([value, count]) => ({ labels: { [label]: value }, value: count }))
}
