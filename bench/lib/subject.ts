/** One side of a scenario, started: it is warmed, then measured in turn with the others. */
import type { Round, Side } from './scenario.ts'

export interface Subject {
  /** Caches fill, compilers compile; nothing of this counts. */
  warm(): Promise<void>
  round(): Promise<Measurement>
}

export interface Measurement {
  readonly round: Round
  /** Why the round is no result, whatever its numbers. */
  readonly fault?: string
}

/** Starts a side; what the sides share is there already. */
export type Opened = (side: Side) => Promise<Subject>

/** How a run measures. */
export interface Terms {
  readonly folder: string
  readonly seconds: number
  readonly quick: boolean
}
