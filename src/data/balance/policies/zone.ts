/**
 * Zone preference: calls stay in the gateway's own zone as long as enough of its backends are ready and have room; otherwise
 * all zones are one pool. There is hysteresis, or a zone near its limit would flap.
 */
import type { Backend } from '../../../core/backend.ts'
import { type LoadTable, loadOf } from '../table.ts'

export interface ZoneOptions {
  readonly name: string
  /** Calls leave the zone when less than this share of its backends is ready; in percent. Default 50. */
  readonly minReadyPercent?: number
  /** They also leave it when more than this share of its limits is in use; in percent. Default 80. */
  readonly maxUsePercent?: number
  /** Where backends have no limits: running calls per unit of weight. Default 8. */
  readonly maxInflight?: number
}

/** The use of the zone must fall to this part of the bound before the zone is preferred again. */
const BACK = 0.75

export interface ZoneSituation {
  readonly backends: readonly Backend[]
  readonly table: LoadTable
  /** Whether calls stay in the zone now. */
  readonly isNear: boolean
}

/** Whether calls should stay in the zone from now on. */
export function isNearEnough({ backends, table, isNear }: ZoneSituation, options: ZoneOptions): boolean {
  const local = backends.filter(({ zone, state }) => zone === options.name && state !== 'draining')
  const ready = local.filter(({ state }) => state === 'ready')
  if (ready.length === 0 || ready.length * 100 < (options.minReadyPercent ?? 50) * local.length) return false
  const load = sum(ready, ({ slot }) => loadOf(table, slot))
  const areLimited = ready.every(({ slot }) => (table.limit[slot] ?? 0) > 0)
  const bound = areLimited
    ? (sum(ready, ({ slot }) => table.limit[slot] ?? 0) * (options.maxUsePercent ?? 80)) / 100
    : sum(ready, ({ weight }) => weight) * (options.maxInflight ?? 8)
  return load <= bound * (isNear ? 1 : BACK)
}

function sum(backends: readonly Backend[], of: (backend: Backend) => number): number {
  return backends.reduce((total, backend) => total + of(backend), 0)
}
