/**
 * A balancing policy: pure, with clock and random numbers passed in, so that the gateway and the simulator
 * run the same code (reference: decision 9). It sees backends as slots of a table of typed arrays.
 */
import type { Digest } from '../../core/key.ts'
import type { LoadTable } from './table.ts'

export interface PolicyContext {
  readonly table: LoadTable
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export type Ending = 'ok' | 'error' | 'timeout' | 'overloaded'

export interface Policy {
  readonly name: string
  /**
   * The best of `slots[0..count)`, all of them routable; `count` is at least 1. `key` is the call's digest for
   * policies with affinity. Returns a slot.
   */
  pick(slots: Int32Array, count: number, key: Digest | undefined): number
  onStart?(slot: number): void
  onEnd?(slot: number, ms: number, ending: Ending): void
  /** The caller left or a hedge lost: `elapsedMs` is a lower bound of the latency, not a sample. */
  onCancel?(slot: number, elapsedMs: number): void
}

export type PolicyFactory = (context: PolicyContext) => Policy
