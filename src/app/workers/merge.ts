/** Merges what several workers report about the same thing. */
import type { PoolTraffic } from '../../data/backend/traffic.ts'
import type { TieredStats, TierStats } from '../../data/cache/tiers/tier-stats.ts'
import type { ModelCounts } from '../../data/measure/model-stats.ts'

/** Statistics of a worker: its counts since the start, and its present state. */
export interface DataStats extends TieredStats {
  readonly flights: number
  readonly models: Readonly<Record<string, ModelCounts>>
}

/**
 * Merges the traffic of a pool, of one worker at least. A backend that one worker has ejected or limited is shown so.
 */
export function mergeTraffic([first, ...others]: readonly PoolTraffic[]): PoolTraffic | undefined {
  if (!first) return undefined
  const all = [first, ...others]
  const bySlot = others.map(({ backends }) => new Map(backends.map((backend) => [backend.slot, backend])))
  return {
    queued: sum(all, ({ queued }) => queued),
    retriesLeft: sum(all, ({ retriesLeft }) => retriesLeft),
    panic: all.some(({ panic }) => panic),
    failing: all.some(({ failing }) => failing),
    backends: first.backends.map((backend) => {
      const reports = [backend, ...bySlot.flatMap((backends) => backends.get(backend.slot) ?? [])]
      const { effective } =
        reports.find((each) => each.effective.state !== backend.effective.state) ?? backend
      const latencies = reports.flatMap(({ latencyMs }) => latencyMs ?? [])
      const latencyMs = Math.round((sum(latencies, (ms) => ms) / latencies.length) * 100) / 100
      return {
        ...backend,
        effective: backend.effective.state === 'ready' ? effective : backend.effective,
        ...(latencies.length > 0 ? { latencyMs } : {}),
      }
    }),
  }
}

/** Merges statistics, of one worker at least. Memory is shared: its size and contents are the same for all. */
export function mergeStats([first, ...others]: readonly DataStats[]): DataStats {
  if (!first) return { tiers: [], unstorable: 0, flights: 0, models: {} }
  const all = [first, ...others]
  const memory = first.memory && {
    ...first.memory,
    hits: sum(all, (each) => each.memory?.hits ?? 0),
    misses: sum(all, (each) => each.memory?.misses ?? 0),
    admitted: sum(all, (each) => each.memory?.admitted ?? 0),
    refused: sum(all, (each) => each.memory?.refused ?? 0),
  }
  return {
    ...(memory ? { memory } : {}),
    tiers: first.tiers.map((tier, i) =>
      mergeTier(
        all.flatMap(({ tiers }) => tiers[i] ?? []),
        tier,
      ),
    ),
    unstorable: sum(all, ({ unstorable }) => unstorable),
    flights: sum(all, ({ flights }) => flights),
    models: mergeModels(all.map(({ models }) => models)),
  }
}

/** The statistics of a worker that has ended: its counts, without its state. */
export function countedOf(stats: DataStats): DataStats {
  const idle = {
    state: 'closed',
    writes: 'closed',
    trouble: undefined,
    queued: 0,
    queuedBytes: 0,
  } as const
  return { ...stats, flights: 0, tiers: stats.tiers.map((tier) => ({ ...tier, ...idle })) }
}

function mergeTier(all: readonly TierStats[], { name }: TierStats): TierStats {
  const total = (of: (tier: TierStats) => number) => sum(all, of)
  const trouble = all.find((tier) => tier.trouble !== undefined)?.trouble
  return {
    name,
    state: all.find(({ state }) => state !== 'closed')?.state ?? 'closed',
    writes: all.find(({ writes }) => writes !== 'closed')?.writes ?? 'closed',
    ...(trouble === undefined ? {} : { trouble }),
    hits: total(({ hits }) => hits),
    misses: total(({ misses }) => misses),
    garbled: total(({ garbled }) => garbled),
    stored: total(({ stored }) => stored),
    failed: total(({ failed }) => failed),
    dropped: total(({ dropped }) => dropped),
    queued: total(({ queued }) => queued),
    queuedBytes: total(({ queuedBytes }) => queuedBytes),
  }
}

type Models = DataStats['models']

function mergeModels(all: readonly Models[]): Models {
  const names = new Set(all.flatMap((models) => Object.keys(models)))
  return Object.fromEntries(
    [...names].map((name) => {
      const counts = all.flatMap((models) => models[name] ?? [])
      return [name, mergeCounts(counts)]
    }),
  )
}

function mergeCounts(all: readonly ModelCounts[]): ModelCounts {
  const calls: Record<string, number> = {}
  for (const each of all)
    for (const [what, count] of Object.entries(each.calls)) calls[what] = (calls[what] ?? 0) + count
  return {
    calls,
    rows: {
      hit: sum(all, ({ rows }) => rows.hit),
      join: sum(all, ({ rows }) => rows.join),
      miss: sum(all, ({ rows }) => rows.miss),
      dup: sum(all, ({ rows }) => rows.dup),
    },
  }
}

function sum<T>(all: readonly T[], of: (each: T) => number): number {
  return all.reduce((total, each) => total + of(each), 0)
}
