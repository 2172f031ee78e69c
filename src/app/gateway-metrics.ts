/** Metrics of the gateway as a whole. */
import type { ProcessLog } from '../obs/log.ts'
import type { Metrics } from '../obs/metrics.ts'
import { ownVersion } from './version.ts'

/** What is wrong and does not make the gateway unready, in sentences for people, by part. */
export type Problems = Readonly<Record<string, readonly string[]>>

interface Measured {
  readonly log: Pick<ProcessLog, 'lost'>
  readonly ready: () => { readonly ok: boolean }
  readonly problems: () => Problems
}

export function measureGateway(
  metrics: Pick<Metrics, 'gauge' | 'counter'>,
  { log, ready, problems }: Measured,
): void {
  const info = { version: ownVersion(), node: process.versions.node }
  metrics.gauge('infergate_build_info', () => [{ labels: info, value: 1 }])
  metrics.gauge('infergate_ready', () => [{ labels: {}, value: Number(ready().ok) }])
  metrics.gauge('infergate_problems', () =>
    Object.entries(problems()).map(([part, found]) => ({ labels: { part }, value: found.length })),
  )
  metrics.counter('infergate_log_lines_lost_total', () => [{ labels: {}, value: log.lost }])
}

/**
 * The result is to be called with what became of each reload.
 * @param wall milliseconds since 1970
 */
export function measureReloads(
  metrics: Pick<Metrics, 'gauge' | 'count'>,
  wall: () => number,
): (isApplied: boolean) => void {
  let isInForce = true
  let appliedAt = wall()
  metrics.gauge('infergate_config_last_reload_successful', () => [{ labels: {}, value: Number(isInForce) }])
  metrics.gauge('infergate_config_last_reload_success_timestamp_seconds', () => [
    { labels: {}, value: appliedAt / 1000 },
  ])
  return (isApplied) => {
    isInForce = isApplied
    if (isApplied) appliedAt = wall()
    metrics.count('infergate_config_reloads_total', { outcome: isApplied ? 'applied' : 'refused' })
  }
}
