/** What goes to a backend for a call, and what comes of it. */

import type { Backend } from '../../core/backend.ts'
import type { Body, Call, RawPairs } from '../../core/call.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { Awaitable } from '../../lib/deferred.ts'
import type { SharedDeadline } from '../flight/shared-deadline.ts'
import type { Matched } from '../route/routes.ts'

/** What goes upstream for a call: its own body or one put together from rows. */
export interface UpstreamRequest {
  readonly body: Body | undefined
  readonly contentLength: number | undefined
  readonly headers: RawPairs
  readonly key: Digest | undefined
  readonly signal: Signal
  /** Undefined: as long as the call. */
  readonly until?: SharedDeadline
  /** Read the answer to its end, up to so many bytes, before answering; 0 streams it. */
  readonly collectBytes: number
}

/** An answer and who gave it. */
export interface UpstreamResponse {
  readonly reply: Reply
  readonly backend: Backend
  readonly ms: number
  /** Monotonic milliseconds at which all of it was there, where it is. */
  readonly at?: number
}

/** How one attempt ended. */
export type AttemptResult = UpstreamResponse | { readonly failure: GatewayError }

/** Comes with an answer of a backend, whatever its status; fails with a GatewayError. */
export type Dispatch = (
  call: Call,
  matched: Matched,
  shipment: UpstreamRequest,
) => Awaitable<UpstreamResponse>
