/** The load of a pool, measured in the data plane for the scaler. */
import type { PoolView } from '../core/backend.ts'
import type { LoadReport } from '../core/load.ts'
import type { Observer } from '../core/observer.ts'
import type { LoadTable } from '../data/balance/table.ts'
import type { DemandMeter } from '../data/measure/demand.ts'

/** The present load of a pool. `read` returns what was measured since the previous reading. */
export interface PoolLoad {
  /** Calls at the backends and waiting for one, now. */
  readonly level: number
  /** Ready backends that are still warming up. */
  readonly slow: number
  /** Calls that a backend serves at a time, where all of them declare it; else undefined. */
  readonly slots: number | undefined
  read(): LoadReport
}

type MeterOf = (route: string) => DemandMeter | undefined

/** Wraps the observer to count calls that need no backend: they are no demand and are counted separately. */
export function countAnswered(observer: Observer, meterOf: MeterOf, memory: string): Observer {
  return {
    ...observer,
    answered(answered) {
      observer.answered(answered)
      const { outcome } = answered
      const isHit = outcome.kind === 'hit'
      if (isHit || (outcome.kind === 'miss' && outcome.collapsed))
        meterOf(answered.route)?.answered(isHit && outcome.tier !== memory)
    },
  }
}

/** @param demand what is measured of the pool, in this thread or in all of them */
export function poolLoad(
  view: PoolView,
  table: LoadTable,
  demand: { readonly level: number; read(): LoadReport },
): PoolLoad {
  const ready = view.backends.filter(({ state }) => state === 'ready')
  const declared = ready.flatMap(({ concurrency }) => concurrency ?? [])
  const isDeclared = ready.length > 0 && declared.length === ready.length
  const mean = declared.reduce((a, b) => a + b, 0) / declared.length
  return {
    level: demand.level,
    slow: ready.filter(({ slot }) => (table.ramp[slot] ?? 1) < 1).length,
    slots: isDeclared ? Math.max(1, Math.floor(mean)) : undefined,
    read: () => demand.read(),
  }
}
