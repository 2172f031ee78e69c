import { describe, expect, it } from 'vitest'
import { countedOf, type DataStats, mergeStats, mergeTraffic } from '../../../../src/app/workers/merge.ts'
import type { PoolTraffic } from '../../../../src/data/backend/traffic.ts'

const ready = { state: 'ready', reason: 'probe' }
const paused = { state: 'paused', reason: 'Retry-After' }

const traffic = (more: Partial<PoolTraffic>): PoolTraffic => ({
  queued: 1,
  retriesLeft: 10,
  panic: false,
  failing: false,
  backends: [],
  ...more,
})

const stats = (more: Partial<DataStats>): DataStats => ({
  memory: { hits: 2, misses: 1, evictions: 5, admitted: 1, refused: 0, bytes: 100, entries: 1 },
  tiers: [
    {
      name: 'redis',
      state: 'closed',
      writes: 'closed',
      hits: 1,
      misses: 2,
      garbled: 0,
      stored: 3,
      failed: 0,
      dropped: 0,
      queued: 1,
      queuedBytes: 10,
    },
  ],
  unstorable: 0,
  flights: 1,
  models: { m: { calls: { hit: 2 }, rows: { hit: 1, join: 0, miss: 0, dup: 0 } } },
  ...more,
})

describe('the traffic of several workers', () => {
  it('is nothing where none has said a word', () => {
    expect(mergeTraffic([])).toBeUndefined()
  })

  it('sums what waits, and keeps what any of them holds against a backend', () => {
    const merged = mergeTraffic([
      traffic({ backends: [{ slot: 4, effective: ready, share: 1, latencyMs: 10 }] }),
      traffic({ failing: true, backends: [{ slot: 4, effective: paused, share: 1, latencyMs: 20 }] }),
      traffic({ backends: [] }),
    ])
    expect(merged).toEqual({
      queued: 3,
      retriesLeft: 30,
      panic: false,
      failing: true,
      backends: [{ slot: 4, effective: paused, share: 1, latencyMs: 15 }],
    })
  })
})

describe('the statistics of several workers', () => {
  it('sum what each has counted, and tell once what they share', () => {
    const other = stats({})
    const merged = mergeStats([
      stats({}),
      {
        ...other,
        tiers: other.tiers.map((tier) => ({ ...tier, state: 'open' as const })),
        models: { m: { calls: { hit: 1, miss: 4 }, rows: { hit: 1, join: 2, miss: 0, dup: 0 } } },
      },
    ])
    expect(merged.memory).toEqual({
      hits: 4,
      misses: 2,
      evictions: 5,
      admitted: 2,
      refused: 0,
      bytes: 100,
      entries: 1,
    })
    expect(merged.tiers).toMatchObject([
      { name: 'redis', state: 'open', hits: 2, stored: 6, queuedBytes: 20 },
    ])
    expect(merged.flights).toBe(2)
    expect(merged.models).toEqual({
      m: { calls: { hit: 3, miss: 4 }, rows: { hit: 2, join: 2, miss: 0, dup: 0 } },
    })
  })

  it('are those of nobody where no worker runs', () => {
    expect(mergeStats([])).toEqual({ tiers: [], unstorable: 0, flights: 0, models: {} })
  })

  it('keep what one that has ended had counted, and nothing that it had', () => {
    const past = countedOf(
      stats({ flights: 3, tiers: stats({}).tiers.map((tier) => ({ ...tier, state: 'open' })) }),
    )
    expect(past).toMatchObject({
      flights: 0,
      tiers: [{ state: 'closed', stored: 3, queued: 0, queuedBytes: 0 }],
    })
    const merged = mergeStats([stats({}), past])
    expect(merged).toMatchObject({
      flights: 1,
      memory: { hits: 4, entries: 1 },
      tiers: [{ stored: 6, queued: 1 }],
    })
    expect(merged.models['m']?.calls).toEqual({ hit: 4 })
  })
})
