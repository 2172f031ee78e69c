/**
 * Tells when a backend is ejected from balancing and when it is back: in the log, in the events of the admin API and in
 * the metrics. Any worker may eject, so the counters that all share are watched from the control thread.
 */
import type { Backend, PoolView } from '../core/backend.ts'
import type { Log } from '../core/log.ts'
import {
  CLOSED,
  EJECTED,
  ejectionCauseOf,
  type OutlierState,
  VERSION,
} from '../data/balance/outliers/outlier-state.ts'
import type { Clock } from '../lib/clock.ts'
import type { Metrics } from '../obs/metrics.ts'

/** What happened to a backend, as followers of the events get it. */
export interface BackendEvent {
  readonly pool: string
  readonly id: string
  readonly change: 'ejected' | 'returned'
  /** In UTC, as `2026-09-12T10:15:02.000Z`. */
  readonly at: string
  /** For people. */
  readonly reason: string
  /** Of an ejection: why, in one word, and how long it lasts before calls try the backend again. */
  readonly cause?: string
  readonly forMs?: number
}

export interface EjectionsParts {
  readonly data: { readonly outliers: OutlierState }
  readonly registry: { views(): readonly PoolView[] }
  readonly clock: Pick<Clock, 'now' | 'wall'>
  readonly log: Log
  readonly metrics: Pick<Metrics, 'count'>
  readonly publish: (event: BackendEvent) => void
}

/** What was told of a backend. */
interface Told {
  readonly generation: number
  /** Ejections since it has its slot. */
  readonly ejected: number
  readonly isOut: boolean
}

export class Ejections {
  readonly #parts: EjectionsParts
  #version = 0
  #told = new Map<string, Told>()

  constructor(parts: EjectionsParts) {
    this.#parts = parts
  }

  /** To be called about every 100 ms; costs nothing while no backend is ejected or returns. */
  tick(): void {
    const { data, registry } = this.#parts
    const version = Atomics.load(data.outliers.shared, VERSION)
    if (version === this.#version) return
    this.#version = version
    const told = new Map<string, Told>()
    for (const { pool, backends } of registry.views())
      for (const backend of backends) {
        const name = `${pool} ${backend.id}`
        told.set(name, this.#look(pool, backend, this.#told.get(name)))
      }
    this.#told = told
  }

  #look(pool: string, { id, slot, generation }: Backend, before: Told | undefined): Told {
    const state = this.#parts.data.outliers
    const known = before?.generation === generation ? before : { ejected: 0, isOut: false }
    const ejected = Atomics.load(state.ejected, slot)
    const phase = state.phase[slot]
    if (ejected > known.ejected) this.#ejected(pool, { id, slot }, ejected - known.ejected)
    const wasOut = known.isOut || ejected > known.ejected
    if (wasOut && phase === CLOSED) this.#returned(pool, id)
    return { generation, ejected, isOut: wasOut && phase !== CLOSED }
  }

  #ejected(pool: string, { id, slot }: Pick<Backend, 'id' | 'slot'>, times: number): void {
    const { data, clock, log, metrics, publish } = this.#parts
    const state = data.outliers
    const { cause, reason } = ejectionCauseOf(state, slot)
    const isStill = state.phase[slot] === EJECTED
    const forMs = isStill ? Math.max(0, Math.round((state.until[slot] ?? 0) - clock.now())) : 0
    metrics.count('infergate_backend_ejections_total', { pool, cause }, times)
    log.warn('backend.ejected', { pool, backend: id, cause, reason, forMs })
    publish({ pool, id, change: 'ejected', at: this.#at(), reason, cause, forMs })
  }

  #returned(pool: string, id: string): void {
    const reason = 'its calls succeed again'
    this.#parts.log.info('backend.returned', { pool, backend: id, reason })
    this.#parts.publish({ pool, id, change: 'returned', at: this.#at(), reason })
  }

  #at(): string {
    return new Date(this.#parts.clock.wall()).toISOString()
  }
}
