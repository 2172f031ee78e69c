/**
 * The events that the data plane reports, for metrics and logs. They are called synchronously on the path of a call: an
 * observer never throws and never waits.
 */
import type { GatewayError } from './errors.ts'
import type { Outcome, TokenCounts } from './reply.ts'

export interface Answered {
  /** Which reader took the request from its connection: `fast` or `http`. */
  readonly door: string
  readonly requestId: string
  readonly route: string
  /** The pool whose answer it is; left out: there is none. */
  readonly pool?: string | undefined
  readonly protocol: string
  /** The model that the call named, in its path or, where the dialect has it there, in its body. */
  readonly model?: string | undefined
  /** The caller's tenant as the settings name it, from `namedTenant`; undefined: nobody was asked who they are. */
  readonly tenant?: string | undefined
  readonly status: number
  readonly outcome: Outcome
  readonly ms: number
  /** The code of the fault, where the gateway answered with an error of its own. */
  readonly fault?: string | undefined
  /** Which limit of the tenant's refused the call. */
  readonly limit?: string | undefined
  /** The tokens that the call would have taken of a backend, and did not. */
  readonly saved?: TokenCounts | undefined
}

/** A generation that a backend has given, whole or as far as it came. */
export interface Generated {
  /** Undefined: the backend did not say. */
  readonly tokens: TokenCounts | undefined
  /** Of one that came as events: from when the backend was asked. */
  readonly firstTokenMs?: number | undefined
  /** Of one that came as events: the mean time between two of its pieces. */
  readonly perTokenMs?: number | undefined
}

/**
 * `served`; `left`: the caller has; `gone`: no backend is left that could serve it; refused before it waited as the queue is
 * `full`, or it would `wait` too long; dropped while it waited, as it came `late` or the queue `shed` it.
 */
export type WaitEnding = 'served' | 'left' | 'gone' | 'full' | 'wait' | 'late' | 'shed'

export interface Observer {
  /** A call was answered. The object is reused by the caller: an observer that keeps it copies it. */
  answered(answered: Answered): void
  /** One attempt at a backend has ended: `ok`, `error`, `timeout`, `overloaded` or `cancelled`. */
  attempted(pool: string, backend: string, ending: string, ms: number): void
  /** Why an attempt failed, in words for the log. */
  failed(
    pool: string,
    backend: string,
    failure: Pick<GatewayError, 'code' | 'logged'>,
    requestId: string,
  ): void
  retried(pool: string, reason: string): void
  /** A call that a pool could not answer goes to the next one of its route; `pool`: the one that could not. */
  fellBack(route: string, pool: string, reason: string): void
  /** A hedge was sent beside a late attempt: `won` or `lost`. */
  hedged(pool: string, outcome: string): void
  /** A call waits no longer for a backend; `ms` is undefined where it was not let wait. `ending`: see `WaitEnding`. */
  waited(pool: string, ending: WaitEnding, ms: number | undefined): void
  tier(name: string, operation: string, outcome: string, ms: number): void
  /** A model is now answered row by row (`proved`), or no longer (`refused`, `suspended`). */
  splitting(model: string, state: string): void
  generated(model: string, generated: Generated): void
  /** A call has taken tokens that its tenant pays for. `tenant`: from `namedTenant`. */
  charged(tenant: string, tokens: TokenCounts): void
  rows(model: string, counts: { hit: number; join: number; miss: number; dup: number }): void
}
