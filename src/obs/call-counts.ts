/**
 * Counters and histograms of calls and of attempts at backends, in typed arrays. A hit is answered in a few
 * microseconds, and finding a counter by a set of labels would take one of them. The labels are put together when
 * somebody scrapes.
 */

import { BoundedNames } from './bounded.ts'
import type { PoolTotals } from './pool-counts.ts'

/** Upper bounds in seconds. */
const CALL_BUCKETS: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
]

/** Status classes 0xx to 9xx. */
const CLASSES = 10

export interface CountedCall {
  readonly door: string
  readonly route: string
  readonly status: number
  readonly ms: number
  /** The code of the gateway's own error, if it was answered with one. */
  readonly fault?: string | undefined
}

export type CallLabels = {
  readonly route: string
  /** The cache's outcome, such as `hit` or `miss`. */
  readonly cache: string
}

/** A histogram of durations under one set of labels. */
export interface Times<L> {
  readonly labels: L
  /** Upper bounds of the buckets, in seconds. */
  readonly bounds: readonly number[]
  /** Counts for each bucket, not cumulative; the last is for durations above every bound. */
  readonly buckets: Float64Array
  /** The sum of the durations, in an array of one element. */
  readonly seconds: Float64Array
}

/** Calls of one route with one outcome of the cache. */
export interface CallCell extends Times<CallLabels> {
  /** By status class. */
  readonly statuses: Float64Array
}

/**
 * Most backend ids of one pool that have counters of their own: a backend may register under a new id at each start.
 */
const MAX_BACKENDS = 4096

/** Attempts at the backends of one pool. */
export interface AttemptCell extends Times<{ readonly pool: string }> {
  readonly names: BoundedNames
  /** By backend and ending, each a number. */
  readonly endings: Map<string, Map<string, Float64Array>>
}

/** Calls and attempts since the start, as plain data. */
export interface CallTotals {
  readonly bounds: readonly number[]
  readonly calls: readonly {
    readonly labels: CallLabels
    readonly statuses: readonly number[]
    readonly buckets: readonly number[]
  }[]
  readonly faults: readonly { readonly route: string; readonly fault: string; readonly count: number }[]
  readonly attempts: readonly {
    readonly pool: string
    readonly backend: string
    readonly count: number
    /** Ended in an error or too late. */
    readonly failed: number
  }[]
  readonly pools: readonly PoolTotals[]
}

/** Endings of attempts that are no failure of the backend. */
const UNHARMED = new Set(['ok', 'cancelled'])

export function totalsOfCalls(calls: CallCounts, attempts: AttemptCounts): Omit<CallTotals, 'pools'> {
  return {
    bounds: CALL_BUCKETS,
    calls: calls.cells().map(({ labels, statuses, buckets }) => ({
      labels,
      statuses: [...statuses],
      buckets: [...buckets],
    })),
    faults: calls.faults().map(({ labels, value }) => ({ ...labels, count: value })),
    attempts: attempts.cells().flatMap(({ labels: { pool }, endings }) =>
      [...endings].map(([backend, counts]) => {
        const ended = [...counts].map(([ending, [value = 0]]) => ({ ending, value }))
        const sum = (of: typeof ended) => of.reduce((all, { value }) => all + value, 0)
        return {
          pool,
          backend,
          count: sum(ended),
          failed: sum(ended.filter(({ ending }) => !UNHARMED.has(ending))),
        }
      }),
    ),
  }
}

export class CallCounts {
  readonly #cells = new Map<string, Map<string, CallCell>>()
  readonly #doors = new Map<string, Float64Array>()
  /** By route and fault. */
  readonly #faults = new Map<string, Map<string, Float64Array>>()

  add({ door, route, status, ms, fault }: CountedCall, cache: string): void {
    const seconds = ms / 1000
    if (fault !== undefined)
      bump(this.#faults.get(route)?.get(fault) ?? counterIn(this.#faults, route, fault), 0)
    bump(this.#doors.get(door) ?? this.#door(door), 0)
    const cell = this.#cells.get(route)?.get(cache) ?? this.#cell({ route, cache })
    bump(cell.statuses, Math.min(CLASSES - 1, Math.floor(status / 100)))
    time(cell, seconds)
  }

  cells(): readonly CallCell[] {
    return [...this.#cells.values()].flatMap((of) => [...of.values()])
  }

  /** Requests by the reader that took them from the connection. */
  doors(): readonly (readonly [string, number])[] {
    return [...this.#doors].map(([door, count]) => [door, count[0] as number] as const)
  }

  /** Calls that were answered with an error of the gateway's own. */
  faults(): readonly {
    readonly labels: { readonly route: string; readonly fault: string }
    readonly value: number
  }[] {
    return [...this.#faults].flatMap(([route, counts]) =>
      [...counts].map(([fault, [value = 0]]) => ({ labels: { route, fault }, value })),
    )
  }

  #door(door: string): Float64Array {
    const made = new Float64Array(1)
    this.#doors.set(door, made)
    return made
  }

  #cell({ route, cache }: CallLabels): CallCell {
    const ofRoute = this.#cells.get(route) ?? new Map<string, CallCell>()
    this.#cells.set(route, ofRoute)
    const made = { ...times({ route, cache }, CALL_BUCKETS), statuses: new Float64Array(CLASSES) }
    ofRoute.set(cache, made)
    return made
  }
}

export class AttemptCounts {
  readonly #cells = new Map<string, AttemptCell>()

  add(pool: string, backend: string, ended: { readonly ending: string; readonly seconds: number }): void {
    const cell = this.#cells.get(pool) ?? this.#cell(pool)
    const { ending, seconds } = ended
    bump(cell.endings.get(backend)?.get(ending) ?? counterIn(cell.endings, cell.names.of(backend), ending), 0)
    time(cell, seconds)
  }

  cells(): readonly AttemptCell[] {
    return [...this.#cells.values()]
  }

  #cell(pool: string): AttemptCell {
    const made = {
      ...times({ pool }, CALL_BUCKETS),
      names: new BoundedNames(MAX_BACKENDS),
      endings: new Map<string, Map<string, Float64Array>>(),
    }
    this.#cells.set(pool, made)
    return made
  }
}

/** The counter under two labels; made where there is none. */
function counterIn(
  counters: Map<string, Map<string, Float64Array>>,
  first: string,
  second: string,
): Float64Array {
  const known = counters.get(first)?.get(second)
  if (known) return known
  const made = new Float64Array(1)
  const under = counters.get(first) ?? new Map<string, Float64Array>()
  under.set(second, made)
  counters.set(first, under)
  return made
}

export function times<L>(labels: L, bounds: readonly number[]): Times<L> {
  return { labels, bounds, buckets: new Float64Array(bounds.length + 1), seconds: new Float64Array(1) }
}

export function time({ bounds, buckets, seconds }: Times<unknown>, took: number): void {
  let bucket = 0
  while (bucket < bounds.length && took > (bounds[bucket] as number)) bucket++
  bump(buckets, bucket)
  seconds[0] = (seconds[0] as number) + took
}

function bump(counts: Float64Array, at: number): void {
  counts[at] = (counts[at] as number) + 1
}
