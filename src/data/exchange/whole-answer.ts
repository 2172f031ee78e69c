/** Sends a whole answer: with Content-Length, or, if it has trailers, without; HTTP/1.1 allows them only behind chunks. */
import type { RawPairs } from '../../core/call.ts'
import type { Fields, Reply } from '../../core/reply.ts'
import { forwardedTrailers } from '../http/headers.ts'
import type { HttpExchange } from './exchange.ts'

/** `common`: the fields shared with other answers; `own`: those of this answer, written behind them. */
export function sendWhole(exchange: HttpExchange, reply: WholeReply, common: Fields, own: RawPairs): void {
  const { status, body, trailers } = reply
  const behind = trailers ? forwardedTrailers(trailers()) : NONE
  if (behind.length === 0) return exchange.answer(status, common, own, body)
  if (exchange.answerWithTrailers)
    return exchange.answerWithTrailers(status, common, own, { body, trailers: behind })
  exchange.begin(status, [...withoutLength(common.pairs), ...own])
  exchange.write(body)
  exchange.end(behind)
}

export type WholeReply = Reply & { readonly body: Uint8Array }

export function isWholeReply(reply: Reply): reply is WholeReply {
  return reply.body instanceof Uint8Array
}

const NONE: RawPairs = []

function withoutLength(pairs: RawPairs): RawPairs {
  return pairs.filter((_, i) => (pairs[i & ~1] as string).toLowerCase() !== 'content-length')
}
