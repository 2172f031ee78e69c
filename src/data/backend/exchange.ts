/** What is asked of a client of backends, and what it gives: the same for every way of talking to one. */
import type { Body, RawPairs } from '../../core/call.ts'
import type { Reply } from '../../core/reply.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { Awaitable } from '../../lib/deferred.ts'
import type { Incoming } from './incoming.ts'

export interface ClientOptions {
  /** Connections a backend at most; further calls wait for one. Infinity: whoever calls bounds them. */
  readonly connections: number
  readonly connectTimeoutMs: number
  /** Longest silence in a body that is under way, where the request does not say. */
  readonly bodyTimeoutMs: number
  /** Why this address may not be talked to, or undefined. Asked at every connect, for the resolved address. */
  readonly refuse: (address: string, port: number) => string | undefined
}

export interface BackendRequest {
  readonly url: string
  readonly method: string
  /** Path with query. */
  readonly target: string
  readonly headers: RawPairs
  /** For the Host field; undefined: the host of the URL. */
  readonly host?: string | undefined
  readonly body: Body | undefined
  /** Known length of a streamed body. */
  readonly contentLength: number | undefined
  readonly signal: Signal
  /** Milliseconds until the head of the answer must be there. */
  readonly headTimeoutMs: number
  /** Asked once these have passed: milliseconds that are left all the same, since others wait who have more time. */
  leftMs?(): number
  /** Longest silence in the body of the answer. */
  readonly idleTimeoutMs?: number | undefined
  /** Monotonic milliseconds, where whoever asks has read the clock. */
  readonly now?: number
}

export interface BackendResponse {
  /** Monotonic milliseconds at which it was over, where it is. */
  readonly at?: number
  /** With its body where all of it came with the head. */
  readonly reply: Omit<Reply, 'body'> & { readonly body: Incoming | Uint8Array }
  /** Comes when the exchange is over, with the error that ended it, if any; undefined: it is. Never fails. */
  readonly over: Awaitable<Error | undefined> | undefined
}
