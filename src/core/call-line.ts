/**
 * One line of the access log: what became of a call, in the names that the documentation promises. The same lines are what the
 * admin API gives. Bodies, credentials and the query are never in it.
 */
import type { AttemptRecord, CallStage, Step } from './call-record.ts'

export interface CallLine {
  /** When it was over, ISO 8601. */
  readonly time: string
  readonly event: 'call'
  readonly requestId: string
  readonly traceId?: string | undefined
  /** The client's address. */
  readonly peer: string
  readonly tenant?: string | undefined
  readonly route?: string | undefined
  readonly protocol?: string | undefined
  readonly model?: string | undefined
  readonly method: string
  readonly path: string
  /** Over gRPC the one that its status stands for. */
  readonly status: number
  /** The code of the gateway's own error. */
  readonly fault?: string | undefined
  /** What the cache did: `hit`, `miss`, `collapsed`, `partial`, `bypass`, `request`, `stale` or `none`. */
  readonly outcome: string
  /** Of a hit or a stale answer. */
  readonly tier?: string | undefined
  readonly rows: number
  /** Of the bodies; of one that was cut off, those that went through. */
  readonly bytes: { readonly in: number; readonly out: number }
  /** Milliseconds from the head of the request to the end of the answer. */
  readonly ms: number
  readonly stages: Partial<Record<CallStage, number>>
  readonly attempts: readonly AttemptRecord[]
}

/** A call that is traced, and what its spans are made of. */
export interface TracedCall extends CallLine {
  readonly traceId: string
  readonly spanId: string
  /** The caller's span. */
  readonly parentId?: string | undefined
  readonly steps: readonly Step[]
}
