/**
 * One request at a door, and the way its answer goes back. Both doors, the strict fast one and node:http, give
 * requests in this form, so that routing, deadlines, faults and answers are written once.
 */
import type { RawPairs, WholeBody } from '../../core/call.ts'
import type { Fields } from '../../core/reply.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { CacheDecision } from '../decision/cache-decision.ts'
import type { Matched } from '../route/routes.ts'

export type DoorName = 'fast' | 'http'

/**
 * What was read from a head. A door that sees the same head again gives the same notes, and nothing in them is worked out
 * twice. Where only volatile fields differ, `headers` and `timeout` are the call's own, and the rest is what was decided before.
 */
export interface HeadNotes {
  path?: string
  query?: string
  /** Of the target where that names one, otherwise the Host field; lower case. */
  host?: string
  /** Its end-to-end fields, which are the call's. */
  headers?: RawPairs
  principal?: string
  /** Milliseconds that the caller allows; Infinity where it does not say. */
  timeout?: number
  /** The settings under which `matched` was found; other settings route anew. */
  live?: object
  matched?: Matched
  /** It has come more than once with a call that was answered at once. */
  isRepeated?: boolean
  /** What it decides about its calls, as long as keys are made of the same. */
  decision?: CacheDecision
}

/** Where a request's bytes come in and its answer's go out. */
export interface HttpExchange {
  readonly door: DoorName
  readonly method: string
  readonly target: string
  /** As they stood on the wire, those about the connection included. */
  readonly headers: RawPairs
  /** The Host field, lower case. */
  readonly host: string
  /** The client's address, or the empty string where the connection has none. */
  readonly peer: string
  readonly notes: HeadNotes
  /** Declared bytes of the body, 0 without one, undefined where it is chunked. */
  readonly length: number | undefined
  /** The body is short and has arrived with the head, or there is none: `whole` gives it at once. */
  readonly isBodyHere: boolean
  /** Set by whoever serves it: called once when the connection ends before the answer is out. */
  onAbort: (() => void) | undefined
  /** Of the answer; 0 before it has begun. */
  readonly status: number

  /** Throws `badRequest` where the parser was more lenient than a gateway may be. */
  check(): void

  /**
   * The whole body; at once where it is there already. Rejects with `bodyTooLarge`, `requestTimeout` or
   * `callerLeft`, or with the signal's reason.
   */
  whole(maxBytes: number, signal: () => Signal): WholeBody | Promise<WholeBody>
  /** The body as it arrives; ends with `bodyTooLarge` where it passes the bound. */
  stream(maxBytes: number): AsyncIterable<Uint8Array>

  /**
   * A whole answer, with fields of its own behind those that it has in common with others. Content-Length is set here; the
   * connection ends with it where the request is not read to its end.
   */
  answer(status: number, common: Fields, own: RawPairs, body: Uint8Array): void
  /**
   * The same with a head that is text already, given the field lines about the connection. Only the fast door has it, where heads
   * are known again.
   */
  answerText?(status: number, head: (connection: string) => string, body: Uint8Array | undefined): void
  /** The head of an answer whose body streams. It goes out at once: event streams begin with silence. */
  begin(status: number, headers: RawPairs): void
  /** False: wait for `drained` before the next. */
  write(chunk: Uint8Array): boolean
  /** Resolves when the client has read enough, or has left. */
  drained(): Promise<void>
  end(trailers: RawPairs): void
  /** Ends the connection: nothing that could be said would be true any more. */
  cut(): void
}
