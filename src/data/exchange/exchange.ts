/**
 * The interface of one HTTP request and its answer at a door. The three doors, the strict fast one, node:http and
 * HTTP/2, implement it, so that routing, deadlines, faults and answers are written once.
 */
import type { RawPairs, WholeBody } from '../../core/call.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { FieldTable } from '../../core/fields.ts'
import type { Identity } from '../../core/identity.ts'
import type { PeerCertificate } from '../../core/peer-certificate.ts'
import type { Fields } from '../../core/reply.ts'
import type { TenantShare } from '../../core/tenant-share.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { Authentication } from '../auth/authenticator.ts'
import type { CacheDecision, DecisionNotes } from '../decision/cache-decision.ts'
import type { Matched } from '../route/routes.ts'

export type DoorName = 'fast' | 'http' | 'h2'

/**
 * What was read from a head. A door that sees the same head again gives the same notes, so nothing in them is computed
 * twice. If only volatile fields differ, `headers` and `timeout` are those of the call, and the rest is shared.
 */
export interface HeadNotes {
  path?: string
  query?: string
  /** The host in the request target if it names one, otherwise the Host field; lower case. */
  host?: string
  /** The end-to-end fields, which become the call's. */
  headers?: RawPairs
  principal?: string
  /** Who sends such a head, or why it is refused; left out: there are no identities. */
  authentication?: Authentication | undefined
  /** The caller; left out: the route asks nobody. */
  identity?: Identity | undefined
  /** What the caller's tenant may have of a pool; left out: there are no tenants. */
  share?: TenantShare | undefined
  /** Set if such a head is refused; `matched` is left out then. */
  refused?: Refused | undefined
  /** Credential fields that are not among `headers`. */
  withheld?: FieldTable<true> | undefined
  /** Milliseconds that the caller allows; Infinity if it does not say. */
  timeout?: number
  /** The settings under which `matched` was found; under other settings the call is routed anew. */
  live?: object
  matched?: Matched
  /** The head has come more than once with a memory hit. */
  isRepeated?: boolean
  /** The cache decision of the head, valid for its revision. */
  decision?: CacheDecision
  /** The same for the route and model that the body of the last call settled; calls that differ in volatile fields share it. */
  settled?: DecisionNotes | undefined
}

/** Why a head is refused. */
export interface Refused {
  readonly refusal: GatewayError
  /** The route at which it is; undefined: there is none for it. */
  readonly matched: Matched | undefined
}

/** One request and its answer on a connection. */
export interface HttpExchange {
  readonly door: DoorName
  readonly method: string
  readonly target: string
  /** All fields as received, hop-by-hop fields included. */
  readonly headers: RawPairs
  /** The Host field, lower case. */
  readonly host: string
  /** The client's address, or the empty string where the connection has none. */
  readonly peer: string
  /** The client's verified certificate, the same object for every request of a connection; undefined: it has shown none. */
  readonly certificate: PeerCertificate | undefined
  readonly notes: HeadNotes
  /** The caller's own, if it is sound, otherwise one of ours; the same for every answer and attempt of the request. */
  readonly requestId: string
  /** Declared bytes of the body; 0 without a body, undefined if it is chunked. */
  readonly length: number | undefined
  /** There is no body, or a short one that has arrived: `whole` returns it at once. */
  readonly isBodyHere: boolean
  /** The request asks to change to WebSocket: then `stream` is what the client sends once 101 was answered. */
  readonly isUpgrade?: boolean
  /** Set by the code that serves the request; called once if the connection ends before the answer is complete. */
  onAbort: (() => void) | undefined
  /** The status of the answer; 0 before it has begun. */
  readonly status: number

  /** Throws `badRequest` if the parser accepted what a gateway must not (request smuggling). */
  check(): void

  /**
   * The whole body; at once if it has arrived. Rejects with `bodyTooLarge`, `requestTimeout` or
   * `callerLeft`, or with the signal's reason.
   */
  whole(maxBytes: number, signal: () => Signal): WholeBody | Promise<WholeBody>
  /** The body as it arrives; fails with `bodyTooLarge` if it is longer than the bound. */
  stream(maxBytes: number): AsyncIterable<Uint8Array>

  /**
   * Sends a whole answer: the fields `common` to other answers, then its `own`. Sets Content-Length, and closes the connection
   * behind the answer if the request has not been read to its end.
   */
  answer(status: number, common: Fields, own: RawPairs, body: Uint8Array): void
  /** The same with trailers, and without Content-Length. Only the HTTP/2 door has it; at others such an answer streams. */
  answerWithTrailers?(
    status: number,
    common: Fields,
    own: RawPairs,
    rest: { readonly body: Uint8Array; readonly trailers: RawPairs },
  ): void
  /**
   * Sends a whole answer whose head is text already; `head` is given the field lines about the connection. Only the fast door
   * has it.
   */
  answerText?(
    status: number,
    head: (connection: string, requestId: string) => string,
    body: Uint8Array | undefined,
  ): void
  /** Sends the head of an answer whose body streams. It leaves at once: an event stream may be silent for long after its head. */
  begin(status: number, headers: RawPairs): void
  /** Sends a piece of the body. False: wait for `drained` before the next. */
  write(chunk: Uint8Array): boolean
  /** Resolves when the client has read enough, or the connection is closed. */
  drained(): Promise<void>
  end(trailers: RawPairs): void
  /**
   * Ends the answer where it is: after an error in the middle of it there is no other way to report it. Destroys the
   * connection, or, over HTTP/2, the stream.
   */
  cut(): void
}
