/**
 * The interface of a balancing policy. It is pure, with clock and random numbers passed in, so that the gateway and the
 * simulator run the same code. It sees backends as slots of a table of typed arrays, and allocates nothing in a pick.
 */
import type { Digest } from '../../../core/key.ts'
import type { PromptPrefix } from '../../../core/prompt-prefix.ts'
import type { LoadTable } from '../table.ts'

export interface PolicyContext {
  readonly table: LoadTable
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Monotonic milliseconds, one clock for all threads that share the table. */
  readonly now: () => number
}

/** `overloaded`: the backend said so (429, 503). A caller's own mistake (other 4xx) is `ok`: the backend did its work. */
export type AttemptOutcome = 'ok' | 'error' | 'timeout' | 'overloaded'

/** How a call ended, and when if that is known. */
export interface Ended {
  readonly ms: number
  /** Milliseconds to the first piece of an answer that streamed, which is the latency that policies and outlier detection go by. */
  readonly firstMs?: number | undefined
  readonly ending: AttemptOutcome
  readonly now?: number
}

export interface Policy {
  readonly name: string
  /** True: the beginning of the prompt is read from calls that have one, and given to `pick`. */
  readonly readsPrefix?: boolean
  /**
   * The pool's backends have changed: `ids[i]` is at `slots[i]`, ascending. Build here what depends on the membership, and
   * not in `pick`, whose candidates may be fewer.
   */
  members?(slots: Int32Array, ids: readonly string[]): void
  /**
   * Picks one of `slots[0..count)`, all of them routable and ascending; `count` is at least 1. `key` is the call's digest,
   * for policies with affinity, and `prefix` the beginning of its prompt. Returns a slot. The caller counts the call in and out of the table, and calls the hooks
   * below only where the policy has them.
   */
  pick(slots: Int32Array, count: number, key: Digest | undefined, prefix?: PromptPrefix): number
  onStart?(slot: number): void
  /** `now`: monotonic, for a caller that has read the clock already. */
  onEnd?(slot: number, ms: number, ending: AttemptOutcome, now?: number): void
  /**
   * The caller left or a hedge lost: `elapsedMs` is a lower bound of the latency, not a sample. `isOutrun`: another backend
   * has answered the same call meanwhile.
   */
  onCancel?(slot: number, elapsedMs: number, isOutrun: boolean): void
  /** The slot has passed to another backend: what was learnt of the last one is void. */
  forget?(slot: number): void
}
