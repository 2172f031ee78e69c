/** A whole answer at a door: with its length, or, where fields follow the body, in a chunk, behind which alone is place for them. */
import type { RawPairs } from '../../core/call.ts'
import type { Fields, Reply } from '../../core/reply.ts'
import { forwardedTrailers } from '../http/headers.ts'
import type { HttpExchange } from './exchange.ts'

/** `common`: fields that it has in common with others; `own`: those behind them. */
export function sendWhole(exchange: HttpExchange, reply: WholeReply, common: Fields, own: RawPairs): void {
  const { status, body, trailers } = reply
  const behind = trailers ? forwardedTrailers(trailers()) : NONE
  if (behind.length === 0) return exchange.answer(status, common, own, body)
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
