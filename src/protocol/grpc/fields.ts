/** The header fields that gRPC calls and answers are known by (grpc/grpc, "gRPC over HTTP2"). */
import { header, type RawPairs } from '../../core/call.ts'

export const GRPC_TYPE = 'application/grpc'

/** Whether the content type is that of gRPC, with any codec behind a `+`, any blanks and parameters; gRPC-Web has another one. */
export function isGrpc(headers: RawPairs): boolean {
  const type = header(headers, 'content-type')
  // Nearly all types are ruled out by one letter, the `g`.
  if (type === undefined || (type.charCodeAt(LETTER) | 0x20) !== 0x67) return false
  const behind = type.charCodeAt(GRPC_TYPE.length)
  return (
    (Number.isNaN(behind) || ENDS.includes(behind)) &&
    type.slice(0, GRPC_TYPE.length).toLowerCase() === GRPC_TYPE
  )
}

const LETTER = GRPC_TYPE.indexOf('g')

/** `+`, `;`, blank and tab: what may stand behind the type. */
const ENDS = [0x2b, 0x3b, 0x20, 0x09]

/** Whether the messages of a gRPC call are protobuf, which they are unless the content type names another codec. */
export function isProtobuf(headers: RawPairs): boolean {
  return /^application\/grpc(?:\+proto)?[ \t]*(?:;|$)/i.test(header(headers, 'content-type') ?? '')
}
