/** What the fast paths answer, and where to: the part of a request's head that decides, and the connection's writer. */
import type { RawPairs } from '../../core/call.ts'
import type { PeerCertificate } from '../../core/peer-certificate.ts'
import type { HttpExchange } from '../exchange/exchange.ts'
import type { CorsFields } from '../route/cors.ts'
import type { Matched } from '../route/routes.ts'
import type { ReadyAnswer } from './ready-answers.ts'

/** The part of a request's head that a fast path decides by. */
export type Repeated = Pick<HttpExchange, 'method' | 'notes'> & {
  /** Bytes of the body. */
  readonly length: number
}

export interface AnswerWriter {
  readonly peer: string
  /** As in `HttpExchange`. */
  readonly certificate?: PeerCertificate | undefined
  /** The field lines about the connection for the next answer. */
  connectionFields(last: boolean): string
  send(head: string, body: Uint8Array | undefined): void
  /** Present where heads are no text: HTTP/2. */
  sendFields?(answer: ReadyAnswer, tier: string, wall: number, cors: RawPairs): void
}

/** The fields for pages of other origins; undefined: the route has none. */
export function corsOf(matched: Matched | undefined, { notes }: Repeated): CorsFields | undefined {
  return matched?.route.cors?.fields(notes.headers ?? [])
}
