/** The interface of a client for backends: requests, responses and options, the same for every implementation. */
import type { Transport } from '../../core/backend.ts'
import type { Body, RawPairs } from '../../core/call.ts'
import type { Reply } from '../../core/reply.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { Awaitable } from '../../lib/deferred.ts'
import type { ClientTls } from '../../lib/tls/material.ts'
import type { Incoming } from './incoming.ts'

/** For how long a connection is not used behind an error: far longer than a server needs to close it there. */
export const REST_MS = 50

/** Whether the connection rests behind an answer with this status: many servers close there without a word. */
export function rests(status: number): boolean {
  return status >= 400
}

export interface ClientOptions {
  /** The most connections to a backend; further calls wait for one. Infinity: the caller bounds them. */
  readonly connections: number
  readonly connectTimeoutMs: number
  /** The longest silence in a body, where the request sets none. */
  readonly bodyTimeoutMs: number
  /** For `https`; undefined: as Node does by itself. */
  readonly tls?: ClientTls | undefined
  /** Why this address may not be connected to, or undefined. Called at every connect, with the resolved address. */
  readonly refuse: (address: string, port: number) => string | undefined
}

export interface BackendRequest {
  readonly url: string
  /** How the URL is called; left out: `http`. */
  readonly transport?: Transport
  readonly method: string
  /** Path with query. */
  readonly target: string
  readonly headers: RawPairs
  /** Of the call, written behind `headers`, which repeat; left out: it is no caller's. */
  readonly requestId?: string
  /** For the Host field; undefined: the host of the URL. */
  readonly host?: string | undefined
  readonly body: Body | undefined
  /** To change to WebSocket is asked for; the body is what is sent once the backend has answered 101. */
  readonly isUpgrade?: boolean
  /** The length of a streamed body, where it is known. */
  readonly contentLength: number | undefined
  readonly signal: Signal
  /** Called when the request is written to a connection. */
  sent?(): void
  /** Milliseconds within which the head of the answer must arrive. */
  readonly headTimeoutMs: number
  /** Called after that time: the milliseconds still left, since callers with more time may have joined. */
  leftMs?(): number
  /** The longest silence in the body of the answer. */
  readonly idleTimeoutMs?: number | undefined
  /** Monotonic milliseconds, where the caller has read the clock. */
  readonly now?: number
}

export interface BackendResponse {
  /** Monotonic milliseconds at which the exchange was over, if it is. */
  readonly at?: number
  /** With the body as bytes where all of it arrived with the head. */
  readonly reply: Omit<Reply, 'body'> & { readonly body: Incoming | Uint8Array }
  /** Settles when the exchange is over, with the error that ended it, if any; undefined: it is over. Never fails. */
  readonly over: Awaitable<Error | undefined> | undefined
}
