/** By which transport a request goes to its backend. */
import type { Transport } from '../../core/backend.ts'
import type { RawPairs } from '../../core/call.ts'
import { isGrpc } from '../../protocol/grpc/fields.ts'

/** That of the request's content type. */
export function transportOf(headers: RawPairs): Transport {
  return isGrpc(headers) ? 'grpc' : 'http'
}
