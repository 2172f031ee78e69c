/** The signal that leaves the gateway, a decision with an id, and the interface of the emitters that send it. */
import type { Decision } from './decision.ts'

/** One decision for one pool, as every emitter renders it. */
export interface ScaleSignal {
  /** The same for every repetition; a new one when `desired` changes. */
  readonly id: string
  /** Grows with every change of leader; an actuator ignores what carries a lower one than it has seen. */
  readonly token: number
  readonly pool: string
  /** Milliseconds since the Unix epoch. */
  readonly atMs: number
  /** When it expires if nothing newer came, milliseconds since the Unix epoch. */
  readonly validUntilMs: number
  readonly decision: Decision
}

/**
 * Sends signals out of the gateway. Level-triggered: only the newest signal of each pool counts, and it is repeated.
 */
export interface Emitter {
  readonly name: string
  /** Replaces the pool's signal; an older one that was not sent yet is dropped. Never throws. */
  emit(signal: ScaleSignal): void
  /** Stops repeating and gives up what is being sent. Idempotent. */
  close(): void
}
