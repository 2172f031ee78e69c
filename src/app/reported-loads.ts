/** What backends say of their own load: fetched as the settings say, passed to the data plane, and shown in the metrics. */
import type { Settings } from '../config/schema.ts'
import type { Probe } from '../control/health/probe.ts'
import { LoadWatch } from '../control/load/load-watch.ts'
import type { Registry } from '../control/registry/registry.ts'
import { LOAD_FAULTS } from '../core/backend-load.ts'
import type { Log } from '../core/log.ts'
import type { Clock } from '../lib/clock.ts'
import type { Metrics, Sample } from '../obs/metrics.ts'
import { loadSettings, type PoolAccess } from './settings-mapping.ts'
import type { DataPlanes } from './workers/data-planes.ts'

export interface ReportedLoadsParts {
  readonly registry: Registry
  readonly data: Pick<DataPlanes, 'reportLoad' | 'reportedLoad'>
  readonly metrics: Pick<Metrics, 'gauge'>
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
  readonly probe: Probe
  readonly settings: () => Settings
  readonly access: (pool: string) => PoolAccess
}

export function createLoadWatch(parts: ReportedLoadsParts): LoadWatch {
  showLoads(parts)
  return new LoadWatch({
    ...parts,
    settings: (pool) => loadSettings(parts.settings(), pool, parts.access(pool)),
    report: (backend, load) => parts.data.reportLoad(backend, load),
  })
}

function showLoads({ metrics, registry, data, settings }: ReportedLoadsParts): void {
  const samples = (of: (slot: number) => readonly Sample[]): readonly Sample[] =>
    registry.views().flatMap(({ pool, backends }) => {
      if (settings().pools[pool]?.load === undefined) return []
      return backends.flatMap(({ id, slot }) =>
        of(slot).map(({ labels, value }) => ({ labels: { pool, backend: id, ...labels }, value })),
      )
    })
  metrics.gauge('infergate_backend_reported_calls', () =>
    samples((slot) => {
      const load = data.reportedLoad(slot)
      if (typeof load === 'string') return []
      const { running, waiting } = load
      return Object.entries({ running, waiting }).flatMap(([state, value]) =>
        value === undefined ? [] : { labels: { state }, value },
      )
    }),
  )
  metrics.gauge('infergate_backend_reported_utilization', () =>
    samples((slot) => {
      const load = data.reportedLoad(slot)
      const value = typeof load === 'string' ? undefined : load.utilization
      return value === undefined ? [] : [{ labels: {}, value }]
    }),
  )
  metrics.gauge('infergate_backend_load_unknown', () =>
    samples((slot) => {
      const load = data.reportedLoad(slot)
      return typeof load === 'string' ? [{ labels: { reason: LOAD_FAULTS[load] }, value: 1 }] : []
    }),
  )
}
