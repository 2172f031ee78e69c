/** How the calls of a pool fare, as plain data for the admin API. */
import type { Backend, PoolView } from '../../core/backend.ts'
import { type BackendLoad, LOAD_FAULTS } from '../../core/backend-load.ts'
import { reportOf } from '../balance/reported-load.ts'
import type { Selector } from '../balance/select.ts'
import type { LoadTable } from '../balance/table.ts'

/** What the data plane knows of a pool. */
export interface PoolTraffic {
  /** Calls that wait for a backend with room. */
  readonly queued: number
  /** Retries that could be made at once. */
  readonly retriesLeft: number
  /** Most backends are ejected, so ejection is ignored. */
  readonly panic: boolean
  /** Most backends fail, so none is ejected for it. */
  readonly failing: boolean
  readonly backends: readonly BackendTraffic[]
}

export interface BackendTraffic {
  readonly slot: number
  /** Its state with ejections, pauses, slow start and limits taken into account. */
  readonly effective: { readonly state: string; readonly reason: string }
  /** The weight in force. */
  readonly share: number
  readonly latencyMs?: number
  /** The most concurrent calls. */
  readonly limit?: number
  /** Calls that other gateways have running there. */
  readonly peers?: number
  /** What the backend says of its own load. */
  readonly reported?: BackendLoad | { readonly ignored: string }
}

interface Known {
  readonly selector: Selector
  /** Mean latency by slot; 0 where a backend has answered nothing yet. */
  readonly latencies: Float64Array
  /** Whether the backends are asked for their load. */
  readonly reports: boolean
}

/** How the backends of a pool fare, one by one and as a whole. */
export function selectionTraffic(
  table: LoadTable,
  { backends }: PoolView,
  known: Known,
): Pick<PoolTraffic, 'panic' | 'failing' | 'backends'> {
  return {
    panic: known.selector.isPanic(),
    failing: known.selector.isFailing,
    backends: backends.map((backend) => backendTraffic(table, backend, known)),
  }
}

function backendTraffic(
  table: LoadTable,
  { slot, state, reason }: Backend,
  { selector, latencies, reports }: Known,
): BackendTraffic {
  const { share, limit, peers } = table
  const latencyMs = latencies[slot] ?? 0
  return {
    slot,
    effective: (state === 'ready' ? selector.status(slot) : undefined) ?? { state, reason },
    share: Math.round((share[slot] ?? 1) * 1000) / 1000,
    ...(latencyMs > 0 ? { latencyMs: Math.round(latencyMs * 100) / 100 } : {}),
    ...(limit[slot] ? { limit: limit[slot] } : {}),
    ...(peers[slot] ? { peers: peers[slot] } : {}),
    ...(reports ? { reported: reported(table, slot) } : {}),
  }
}

function reported({ reports }: LoadTable, slot: number): BackendLoad | { readonly ignored: string } {
  const report = reportOf(reports, slot)
  return typeof report === 'string' ? { ignored: LOAD_FAULTS[report] } : report
}
