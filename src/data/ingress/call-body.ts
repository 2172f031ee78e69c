/** How the body of a call is taken from its request: whole, or as it arrives. */
import type { Body, WholeBody } from '../../core/call.ts'
import { REPLAY_BYTES, Replay } from '../backend/replay.ts'
import type { HttpExchange } from '../exchange/exchange.ts'
import { tooLarge } from '../http/body.ts'
import { MAX_RECORD_BYTES } from '../record/recorder.ts'
import { isKept, isOpen, keepable, type Matched } from '../route/routes.ts'
import type { ArrivedCall } from './arrived-call.ts'

/** The body: whole if the call may be cached or recorded, if route or pool depend on it, or if it has arrived; streaming otherwise. */
export function bodyOf(
  exchange: HttpExchange,
  matched: Matched,
  { call, maxBytes }: { call: ArrivedCall; maxBytes: number },
): Body | Promise<WholeBody> {
  const { length } = exchange
  if (length !== undefined && length > maxBytes) throw tooLarge(maxBytes)
  if (call.isUpgrade) return exchange.stream(maxBytes)
  if (length === 0) return NOTHING
  const { split } = matched.route
  const isChoosing = split?.weights.sticky === 'input' && matched.target.prediction
  const keyed = matched.route.cache !== undefined && keepable(matched) && isKept(exchange.method)
  const isLogged = matched.route.log !== undefined && matched.target.prediction
  const isRecordable = isLogged && (length ?? 0) <= MAX_RECORD_BYTES
  return keyed || isChoosing || isRecordable || isOpen(matched) || exchange.isBodyHere
    ? exchange.whole(maxBytes, () => call.signal)
    : exchange.stream(maxBytes)
}

const NOTHING = new Uint8Array(0)

/** A body that streams; where another pool may have to answer, its beginning is kept for that one. */
export function readAgain(
  { route, candidates = [] }: Matched,
  body: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  const hasFallback = [route, ...candidates.map((candidate) => candidate.route)].some(
    ({ fallback, split }) => fallback ?? split?.routes.some((each) => each.fallback),
  )
  return hasFallback ? new Replay(body, REPLAY_BYTES) : body
}
