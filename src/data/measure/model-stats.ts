/** Counts what the cache has done for each model since the start, for `GET /api/v1/cache/stats`. */
import type { Observer } from '../../core/observer.ts'
import { outcomeLabel } from '../../core/reply.ts'
import type { RowCounts } from '../../core/row-counts.ts'

export interface ModelCounts {
  /** Calls by what the cache did: hit, miss, collapsed, partial, bypass, request, stale, none. */
  readonly calls: Readonly<Record<string, number>>
  /** Rows of calls that were answered row by row. */
  readonly rows: RowCounts
}

interface Counts {
  readonly calls: Record<string, number>
  rows: RowCounts
}

/** Callers make up names: those that come when the table is full are counted together. */
const MAX_MODELS = 1024
const OTHERS = '*'
const NO_ROWS: RowCounts = { hit: 0, join: 0, miss: 0, dup: 0 }

export class ModelStats {
  readonly #models = new Map<string, Counts>()

  /** The given observer, with its events counted here as well. */
  observing(observer: Observer): Observer {
    return {
      ...observer,
      answered: (answered) => {
        observer.answered(answered)
        if (answered.model === undefined) return
        const { calls } = this.#of(answered.model)
        const what = outcomeLabel(answered.outcome)
        calls[what] = (calls[what] ?? 0) + 1
      },
      rows: (model, counts) => {
        observer.rows(model, counts)
        const known = this.#of(model)
        const { hit, join, miss, dup } = known.rows
        known.rows = {
          hit: hit + counts.hit,
          join: join + counts.join,
          miss: miss + counts.miss,
          dup: dup + counts.dup,
        }
      },
    }
  }

  all(): Readonly<Record<string, ModelCounts>> {
    return Object.fromEntries(this.#models)
  }

  #of(name: string): Counts {
    const model = this.#models.has(name) || this.#models.size < MAX_MODELS ? name : OTHERS
    const known = this.#models.get(model)
    if (known) return known
    const counts: Counts = { calls: {}, rows: NO_ROWS }
    this.#models.set(model, counts)
    return counts
  }
}
