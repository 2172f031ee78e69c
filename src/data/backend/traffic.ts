/** How the calls of a pool fare, as plain data for the admin API. */
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
}

/** The traffic of one backend. `latencyMs`: 0 where it has answered nothing yet. */
export function backendTraffic(
  { share, limit, peers }: LoadTable,
  slot: number,
  { effective, latencyMs }: { effective: BackendTraffic['effective']; latencyMs: number },
): BackendTraffic {
  return {
    slot,
    effective,
    share: Math.round((share[slot] ?? 1) * 1000) / 1000,
    ...(latencyMs > 0 ? { latencyMs: Math.round(latencyMs * 100) / 100 } : {}),
    ...(limit[slot] ? { limit: limit[slot] } : {}),
    ...(peers[slot] ? { peers: peers[slot] } : {}),
  }
}
