/** What leaves the gateway: a decision with the name it can be recognised by, and what carries it out. */
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
  /** When it is to be forgotten if nothing newer came, milliseconds since the Unix epoch. */
  readonly validUntilMs: number
  readonly decision: Decision
}

/** Carries signals out of the gateway. Level-triggered: the newest of each pool is what counts, and it is repeated. */
export interface Emitter {
  readonly name: string
  /** Takes over the newest signal of a pool; whatever of that pool was still to be sent is dropped. Never throws. */
  emit(signal: ScaleSignal): void
  /** Stops repeating and gives up what is being sent. Idempotent. */
  close(): void
}
