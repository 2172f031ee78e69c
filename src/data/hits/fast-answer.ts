/** What the fast paths answer, and where to: the part of a request's head that decides, and the door's writer. */
import type { GatewayError } from '../../core/errors.ts'
import type { Called } from '../calls/call-reporter.ts'
import type { DoorName, HttpExchange } from '../exchange/exchange.ts'
import { addedFields } from '../route/added-fields.ts'
import type { CorsFields } from '../route/cors.ts'
import type { Matched } from '../route/routes.ts'
import type { ReadyAnswer } from './ready-answers.ts'

/** The part of a request's head that a fast path decides by. */
export type Repeated = Pick<HttpExchange, 'method' | 'notes'> & {
  /** Bytes of the body. */
  readonly length: number
}

/** Writes one answer to a request that no call was made of. `wall`: milliseconds. */
export interface AnswerWriter {
  readonly door: DoorName
  /** As in `HttpExchange`. */
  readonly peer: string
  /** Of the present request; as in `HttpExchange`. */
  readonly requestId: string
  /** What the caller of the present request says of its trace; undefined: nothing. */
  readonly traceparent: string | undefined
  /** Whether an answer of known length may have trailers. */
  readonly hasTrailers: boolean
  sendHit(answer: ReadyAnswer, tier: string, wall: number, cors: CorsFields | undefined): void
  /** Sends an error; returns the status that the caller was told, as HTTP has it. */
  sendError(head: Repeated, fault: GatewayError, matched: Matched | undefined, wall: number): number
}

/** What a request was, for the access log. */
export function calledOf(
  { method, notes, length }: Repeated,
  { peer }: Pick<AnswerWriter, 'peer'>,
  bytesOut: number,
): Called {
  return { peer, method, path: notes.path ?? '', bytesIn: length, bytesOut }
}

/** What the route adds to its answers; undefined: nothing. */
export function corsOf(matched: Matched | undefined, { notes }: Repeated): CorsFields | undefined {
  return matched && addedFields(matched.route, notes.headers ?? [])
}
