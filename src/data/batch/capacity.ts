/** What a pool's view says to the batcher: whether the backends have room, and how large a request may be. */
import type { Backend } from '../../core/backend.ts'

/** True when every ready backend has as many calls as it wants, one where it has declared nothing. */
export function isBusy(backends: readonly Backend[], inflight: (slot: number) => number): boolean {
  return backends.every(
    ({ state, slot, concurrency = 1 }) => state !== 'ready' || inflight(slot) >= Math.max(1, concurrency),
  )
}

/** Rows that any backend takes in one request for `model`; undefined: none has declared a bound. */
export function maxBatchOf(backends: readonly Backend[], model: string | undefined): number | undefined {
  const bounds = backends.flatMap(({ models }) =>
    models.flatMap(({ name, maxBatch }) => (model === undefined || name === model ? (maxBatch ?? []) : [])),
  )
  return bounds.length > 0 ? Math.max(1, Math.min(...bounds)) : undefined
}
