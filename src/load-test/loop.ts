/** What a loop that makes calls is given, and what its owner may ask of it. */
import type { Signal } from '../lib/cancel.ts'
import type { Asker } from './asker.ts'
import type { LoadTally } from './tally.ts'

export interface LoopParts {
  readonly asker: Asker
  /** Counts what happens at this time, monotonic milliseconds. */
  readonly tallyAt: (nowMs: number) => LoadTally
  /** Monotonic milliseconds of the beginning. */
  readonly beganMs: number
  /** Aborted when the calls that still run are given up. */
  readonly signal: Signal
}

export interface Loop {
  /** Begins; resolves when the last call has ended. Never rejects. */
  run(): Promise<void>
  /** Makes no more calls. */
  stop(): void
}
