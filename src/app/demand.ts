/** The load of a pool, measured in the data plane for the scaler. */
import type { PoolView } from '../core/backend.ts'
import type { LoadReport, ReportedLoad } from '../core/load.ts'
import type { Observer } from '../core/observer.ts'
import type { ReportTable } from '../data/balance/reported-load.ts'
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
  /** What the backends say of their own load; undefined: none says anything. */
  readonly reported: ReportedLoad | undefined
  read(): LoadReport
}

type MeterOf = (pool: string | undefined) => DemandMeter | undefined

/** Wraps the observer to count calls that need no backend: they are no demand and are counted separately. */
export function countAnswered(observer: Observer, meterOf: MeterOf, memory: string): Observer {
  return {
    ...observer,
    answered(answered) {
      observer.answered(answered)
      const { outcome } = answered
      const isHit = outcome.kind === 'hit'
      if (isHit || (outcome.kind === 'miss' && outcome.collapsed))
        meterOf(answered.pool)?.answered(isHit && outcome.tier !== memory)
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
    reported: reportedLoad(
      ready.map(({ slot }) => slot),
      table.reports,
    ),
    read: () => demand.read(),
  }
}

/** Use of a backend's memory from which on it shows how much of it a call takes. */
const TELLING = 0.3

function reportedLoad(slots: readonly number[], reports: ReportTable): ReportedLoad | undefined {
  const told = slots.filter((slot) => (reports.at[slot] ?? 0) > 0)
  if (told.length === 0) return undefined
  const rooms = told.flatMap((slot) => {
    const [running, used] = [reports.running[slot] ?? 0, reports.utilization[slot] ?? 0]
    return running > 0 && used >= TELLING ? [running / used] : []
  })
  return {
    waiting: told.reduce((sum, slot) => sum + Math.max(0, reports.waiting[slot] ?? 0), 0),
    room: rooms.reduce((sum, room) => sum + room, 0) / Math.max(1, rooms.length),
  }
}
