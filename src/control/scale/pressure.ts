/**
 * Panic mode: the pool holds twice what it can serve, or calls wait longer than the SLO allows. During a panic no
 * replica is removed. It ends when the pressure has been off for a fast window and all requested replicas have arrived;
 * ending on readiness alone removes replicas too early.
 */
import type { Demand, ScaleOptions } from './demand.ts'
import { type LoadMemory, meanOf } from './load.ts'

export interface PressureMemory {
  readonly isPanic: boolean
  /** Since when calls wait too long without a break. */
  readonly waitingSince?: number
  /** When there was pressure last. */
  readonly pressedAt: number
}

export const NO_PRESSURE: PressureMemory = { isPanic: false, pressedAt: Number.NEGATIVE_INFINITY }

const WAITING_TOO_LONG_MS = 3_000

export interface Situation {
  readonly demand: Demand
  readonly load: LoadMemory
  /** Slots of the ready replicas. */
  readonly slots: number
  readonly waitBudgetMs: number
  /** Whether all replicas asked for are ready or starting. */
  readonly isComplete: boolean
}

export function notePressure(memory: PressureMemory, seen: Situation, options: ScaleOptions): PressureMemory {
  const { demand } = seen
  const now = demand.at
  const isWaiting = demand.queue > 0 && demand.oldestWaitMs > Math.max(0, seen.waitBudgetMs)
  const waitingSince = isWaiting ? (memory.waitingSince ?? now) : undefined
  // The mean still contains the past: without waiting calls there is no pressure.
  const isFull =
    demand.queue > 0 && meanOf(seen.load, 'concurrency', options.fastMs) >= 2 * Math.max(1, seen.slots)
  const isPressed = isFull || (waitingSince !== undefined && now - waitingSince >= WAITING_TOO_LONG_MS)
  const pressedAt = isPressed ? now : memory.pressedAt
  const isOver = now - pressedAt >= options.fastMs && seen.isComplete
  const isPanic = isPressed || (memory.isPanic && !isOver)
  return waitingSince === undefined ? { isPanic, pressedAt } : { isPanic, pressedAt, waitingSince }
}
