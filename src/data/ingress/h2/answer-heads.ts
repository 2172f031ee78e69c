/** The field blocks that begin an answer. */
import type { RawPairs } from '../../../core/call.ts'
import type { Fields } from '../../../core/reply.ts'
import { encodeFields } from '../../../lib/http2/hpack-encoder.ts'
import { headFields, lowered, sharedLowered } from '../../exchange/lowered.ts'

export const CONTINUE = encodeFields([':status', '100'])
/** To a head that is longer than SETTINGS_MAX_HEADER_LIST_SIZE. */
export const TOO_LONG = encodeFields([':status', '431', 'content-length', '0'])

/** Of an answer that is here as a whole. Throws TypeError if a field cannot be sent, as the next. */
export function wholeHead(
  status: number,
  { common, own, bytes }: { common: Fields; own: RawPairs; bytes: number },
): Buffer {
  const pairs = [...sharedLowered(common), ...lowered(own)]
  // An answer of gRPC without a message is trailers alone.
  const length = pairs.includes('grpc-status') ? undefined : bytes
  return encodeFields(headFields(status, pairs, { length, now: Date.now() }))
}

/** Of one whose body streams; it keeps the length that `headers` declare. */
export function streamHead(status: number, headers: RawPairs): Buffer {
  const declared = headers.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === 'content-length')
  const length = declared < 0 ? undefined : Number(headers[declared + 1])
  return encodeFields(headFields(status, lowered(headers), { length, now: Date.now() }))
}
