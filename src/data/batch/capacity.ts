/** What the batcher needs to know of a pool: whether its backends are at capacity, and how many rows a request may have. */
import type { Backend } from '../../core/backend.ts'

/** True if every ready backend runs as many calls as its declared concurrency, which is one if it declared none. */
export function isBusy(backends: readonly Backend[], inflight: (slot: number) => number): boolean {
  return backends.every(
    ({ state, slot, concurrency = 1 }) => state !== 'ready' || inflight(slot) >= Math.max(1, concurrency),
  )
}

/** The most rows in one request that every backend accepts for `model`; undefined: none has declared a bound. */
export function maxBatchOf(backends: readonly Backend[], model: string | undefined): number | undefined {
  const bounds = backends.flatMap(({ models }) =>
    models.flatMap(({ name, maxBatch }) => (model === undefined || name === model ? (maxBatch ?? []) : [])),
  )
  return bounds.length > 0 ? Math.max(1, Math.min(...bounds)) : undefined
}
