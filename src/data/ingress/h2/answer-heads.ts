/** The field blocks that begin an answer. */
import type { RawPairs } from '../../../core/call.ts'
import type { Fields } from '../../../core/reply.ts'
import { REQUEST_ID } from '../../../core/request-id.ts'
import { encodeFields } from '../../../lib/http2/hpack-encoder.ts'
import { lastOf } from '../../../lib/memo.ts'
import { hasField, hasNoBody, headFields, lowered } from '../../exchange/lowered.ts'
import { httpDate } from '../../exchange/reply-head.ts'

export const CONTINUE = encodeFields([':status', '100'])

/** To a head that is longer than SETTINGS_MAX_HEADER_LIST_SIZE. */
export function tooLong(requestId: string): Buffer {
  return encodeFields([':status', '431', 'content-length', '0', REQUEST_ID, requestId])
}

/**
 * Of an answer that is here as a whole; what it shares with others is encoded once. `bytes`: of the body; undefined where trailers
 * follow it. Throws TypeError if a field cannot be sent, as the next two.
 */
export function wholeHead(
  status: number,
  { common, own, bytes }: { common: Fields; own: RawPairs; bytes: number | undefined },
): Buffer {
  common.block ??= sharedBlock(common.pairs)
  const { block } = common
  const pairs = [...lowered(own)]
  // An answer of gRPC without a message is trailers alone.
  const isGrpc = block.isGrpc || hasField(pairs, 'grpc-status')
  if (!block.isDated && !hasField(pairs, 'date')) pairs.push('date', httpDate(Date.now()))
  if (bytes !== undefined && !isGrpc && !hasNoBody(status)) pairs.push('content-length', String(bytes))
  return Buffer.concat([statusBlock(status), block.bytes, encodeFields(pairs)])
}

function sharedBlock(shared: RawPairs): NonNullable<Fields['block']> {
  const pairs = lowered(shared)
  const [isDated, isGrpc] = [hasField(pairs, 'date'), hasField(pairs, 'grpc-status')]
  return { bytes: encodeFields(pairs), isDated, isGrpc }
}

const statusBlock = lastOf((status: number) => encodeFields([':status', String(status)]))

/** Of the fields behind a body, which mostly repeat. */
export const trailersBlock = lastOf((trailers: RawPairs) => encodeFields(lowered(trailers)))

/** Of one whose body streams; it keeps the length that `headers` declare. */
export function streamHead(status: number, headers: RawPairs): Buffer {
  const declared = headers.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === 'content-length')
  const length = declared < 0 ? undefined : Number(headers[declared + 1])
  return encodeFields(headFields(status, lowered(headers), { length, now: Date.now() }))
}
