/** By which transport a request goes to its backend. */
import type { Transport } from '../../core/backend.ts'
import { header, type RawPairs } from '../../core/call.ts'

// gRPC-Web begins alike, and is made for HTTP/1.1.
const GRPC = /^application\/grpc(?:$|[+; ])/i

/** That of the request's content type. */
export function transportOf(headers: RawPairs): Transport {
  const type = header(headers, 'content-type')
  return type !== undefined && GRPC.test(type) ? 'grpc' : 'http'
}
