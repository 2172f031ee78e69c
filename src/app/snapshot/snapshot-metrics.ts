/** What is counted of snapshots. */
import type { Metrics } from '../../obs/metrics.ts'
import type { Restored } from './restoring.ts'
import type { WrittenSnapshot } from './write-snapshot.ts'

type Ending = 'written' | 'void' | 'removed' | 'skipped' | 'failed'

export interface SnapshotCounts {
  written(ending: Exclude<Ending, 'written'>): void
  success(written: WrittenSnapshot, when: { readonly seconds: number; readonly at: number }): void
  loaded(restored: Restored, seconds: number): void
  /** The file, or the rest of it, was not used. */
  unused(): void
}

export function measureSnapshots(metrics: Pick<Metrics, 'gauge' | 'counter'>): SnapshotCounts {
  const endings: Record<Ending, number> = { written: 0, void: 0, removed: 0, skipped: 0, failed: 0 }
  const entries = { saved: 0, loaded: 0, expired: 0, purged: 0, refused: 0 }
  const seconds = { write: 0, load: 0 }
  let unused = 0
  let bytes = 0
  let at = 0
  const samples = (label: string, of: Readonly<Record<string, number>>) => () =>
    Object.entries(of).map(([name, value]) => ({ labels: { [label]: name }, value }))
  const one = (of: () => number) => () => [{ labels: {}, value: of() }]
  metrics.counter('infergate_snapshot_writes_total', samples('outcome', endings))
  metrics.counter('infergate_snapshot_entries_total', samples('outcome', entries))
  metrics.counter(
    'infergate_snapshot_unused_total',
    one(() => unused),
  )
  metrics.gauge('infergate_snapshot_seconds', samples('phase', seconds))
  metrics.gauge(
    'infergate_snapshot_bytes',
    one(() => bytes),
  )
  metrics.gauge(
    'infergate_snapshot_last_success_timestamp_seconds',
    one(() => at),
  )
  return {
    written(ending) {
      endings[ending]++
    },
    success(written, when) {
      endings.written++
      entries.saved += written.records
      bytes = written.bytes
      seconds.write = when.seconds
      at = when.at
    },
    loaded(restored, took) {
      for (const [name, count] of Object.entries(restored)) entries[name as keyof Restored] += count
      seconds.load = took
    },
    unused() {
      unused++
    },
  }
}
