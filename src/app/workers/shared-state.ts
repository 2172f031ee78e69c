/**
 * The shared memory of a process's data workers: answers, claims, counters. Plain data, for `workerData`. A single
 * worker shares nothing and pays for none of it.
 */
import type { Settings } from '../../config/schema.ts'
import { createOutlierState, type OutlierState } from '../../data/balance/outliers/outlier-state.ts'
import {
  createLoadTable,
  forgetWorker,
  type LoadTable,
  MAX_SLOTS,
  tableForWorker,
} from '../../data/balance/table.ts'
import {
  allocateMemory,
  createMemory,
  type Memory,
  recoverMemory,
  type SharedMemory,
} from '../../data/cache/memory/memory.ts'
import { allocateLimits, forgetLimits, type LimitBytes, LimitTable } from '../../data/decision/limit-table.ts'
import { allocateQuotas, forgetQuotas, type QuotaBytes, QuotaTable } from '../../data/decision/quota-table.ts'
import { allocateClaims, type ClaimBytes, ClaimTable, forgetClaims } from '../../data/flight/claim-table.ts'
import { Claims } from '../../data/flight/claims.ts'
import type { Clock } from '../../lib/clock.ts'
import { longestEntry, memoryBytes } from '../cache.ts'
import { allocateBindings, releaseBinding } from './bindings.ts'

export interface SharedState {
  readonly table: LoadTable
  readonly outliers: OutlierState
  /** Undefined: there is one worker. */
  readonly claims: ClaimBytes | undefined
  /** What tenants have used. */
  readonly limits: LimitBytes
  readonly quotas: QuotaBytes
  /** Undefined: there is one worker, or the settings name no memory tier. */
  readonly memory: SharedMemory | undefined
  /** A heartbeat for each worker: a number that it increments while its event loop runs. */
  readonly beats: Int32Array
  /** Which workers may bind the port. */
  readonly bindings: Int32Array
  /** Bytes of predictions that are not yet in the log; one number. */
  readonly queuedPredictions: Int32Array
  /** Characters of the access log that are not yet written; one number. */
  readonly queuedCalls: Int32Array
}

export function allocateState(settings: Settings, workers: number, clock: Clock): SharedState {
  const bytes = memoryBytes(settings)
  const isAlone = workers === 1
  return {
    table: createLoadTable(MAX_SLOTS, workers),
    outliers: createOutlierState(MAX_SLOTS),
    limits: allocateLimits(workers),
    quotas: allocateQuotas(clock.wall() - clock.now(), { workers }),
    claims: isAlone ? undefined : allocateClaims(),
    memory: isAlone || bytes === 0 ? undefined : allocateMemory(bytes, workers, longestEntry(settings)),
    beats: new Int32Array(new SharedArrayBuffer(workers * 4)),
    bindings: allocateBindings(workers),
    queuedPredictions: new Int32Array(new SharedArrayBuffer(4)),
    queuedCalls: new Int32Array(new SharedArrayBuffer(4)),
  }
}

/** One worker's access to the shared memory. */
export interface WorkerShare {
  readonly table: LoadTable
  readonly outliers: OutlierState
  readonly claims: Claims | undefined
  readonly limits: LimitTable
  readonly quotas: QuotaTable
  /** Undefined: the settings name no memory tier. */
  readonly memory: Memory | undefined
}

interface Holder {
  readonly worker: number
  readonly settings: Settings
  readonly clock: Clock
}

export function shareOf(
  { table, outliers, claims, limits, quotas, memory }: SharedState,
  { worker, settings, clock }: Holder,
): WorkerShare {
  const maxBytes = memoryBytes(settings)
  const own = () => (maxBytes > 0 ? createMemory({ maxBytes, clock }) : undefined)
  return {
    table: tableForWorker(table, worker),
    outliers,
    limits: new LimitTable(limits, { worker, now: clock.now }),
    quotas: new QuotaTable(quotas, limits.terms, { worker, now: clock.now }),
    claims: claims && new Claims(new ClaimTable(claims, { worker, now: clock.now }), clock),
    memory: table.workers === 1 ? own() : memory && createMemory({ shared: memory, worker, clock }),
  }
}

/** Called after a worker has ended: removes its calls from the counters and clears what it was about to write. */
export function cleanUpWorker(shared: SharedState, worker: number): void {
  const { table, claims, limits, quotas, memory, bindings } = shared
  // Memory first: a worker that waits for one of the claims looks into memory next.
  if (memory) recoverMemory(memory, worker)
  if (claims) forgetClaims(claims, worker)
  forgetLimits(limits, worker)
  forgetQuotas(quotas, worker)
  forgetWorker(table, worker)
  releaseBinding(bindings, worker)
}
