/** What the data workers of a process share in memory: answers, claims, counters. Plain data, for `workerData`. */
import type { Settings } from '../config/schema.ts'
import { createOutlierState, type OutlierState } from '../data/balance/outlier-state.ts'
import { createLoadTable, forgetWorker, type LoadTable, MAX_SLOTS } from '../data/balance/table.ts'
import { allocateMemory, recoverMemory, type SharedMemory } from '../data/cache/memory.ts'
import { allocateClaims, type ClaimBytes, forgetClaims } from '../data/flight/claim-table.ts'
import { memoryBytes } from './cache.ts'

export interface SharedState {
  readonly table: LoadTable
  readonly outliers: OutlierState
  readonly claims: ClaimBytes
  /** Undefined: the settings name no memory tier. */
  readonly memory: SharedMemory | undefined
}

export function allocateState(settings: Settings, workers: number): SharedState {
  const bytes = memoryBytes(settings)
  return {
    table: createLoadTable(MAX_SLOTS, workers),
    outliers: createOutlierState(MAX_SLOTS),
    claims: allocateClaims(),
    memory: bytes > 0 ? allocateMemory(bytes, workers) : undefined,
  }
}

/** Called once a worker has ended: its calls have ended with it, and what it was about to write is cleared. */
export function buryWorker({ table, claims, memory }: SharedState, worker: number): void {
  // In this order: whoever waits for one of its claims looks into memory next.
  if (memory) recoverMemory(memory, worker)
  forgetClaims(claims, worker)
  forgetWorker(table, worker)
}
