/** The types of an upstream call: the request that goes to a backend, and what results from it. */

import type { Backend } from '../../core/backend.ts'
import type { Body, Call, RawPairs } from '../../core/call.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import type { Charge } from '../../core/tenant-share.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { Awaitable } from '../../lib/deferred.ts'
import type { SharedDeadline } from '../flight/shared-deadline.ts'
import type { Matched } from '../route/routes.ts'

/** What goes upstream for a call, with the call's own body or one composed of rows. */
export interface UpstreamRequest {
  /** Method, and path with query, where they are not the call's own. */
  readonly as?: { readonly method: string; readonly target: string }
  readonly body: Body | undefined
  readonly contentLength: number | undefined
  readonly headers: RawPairs
  readonly key: Digest | undefined
  readonly signal: Signal
  /** Undefined: the deadline of the call. */
  readonly until?: SharedDeadline
  /** The answer is read to its end, up to this many bytes, before it is passed on; 0 streams it. */
  readonly collectBytes: number
  /** How many rows are asked for; left out: one. */
  readonly rows?: number
  /** Whose rows they are; left out: all are the call's. */
  readonly charges?: readonly Charge[]
}

/** An answer and the backend that gave it. */
export interface UpstreamResponse {
  readonly reply: Reply
  readonly backend: Backend
  readonly ms: number
  /** Monotonic milliseconds at which the answer was complete, if it is. */
  readonly at?: number
  /** Settles when the answer's last byte is there or its connection is closed; left out: the answer is complete. */
  readonly over?: Promise<void>
}

/** The result of one attempt. */
export type AttemptResult = UpstreamResponse | { readonly failure: GatewayError }

/** Settles with an answer of a backend, whatever its status; fails with a GatewayError. */
export type Dispatch = (call: Call, matched: Matched, request: UpstreamRequest) => Awaitable<UpstreamResponse>
