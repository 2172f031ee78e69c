/** Errors of this protocol's servers in the other form: `{"error": …}` under an HTTP status, or a gRPC status and message. */
import type { RawPairs } from '../../../core/call.ts'
import type { Reply } from '../../../core/reply.ts'
import { statusReply } from '../../grpc/fault.ts'
import { isGrpc } from '../../grpc/fields.ts'
import { decodeMessage, httpOfStatus, statusField, statusOf, statusOfHttp } from '../../grpc/status.ts'
import { withoutOwnFields } from '../body-fields.ts'

/** What of an error goes into a message; a page of a proxy may be long. */
const MAX_MESSAGE = 4096

/** An answer that is no success, and whole, in the other form. */
export function translatedError(reply: Reply): Reply {
  return isGrpc(reply.headers) ? jsonOf(reply) : grpcOf(reply)
}

function jsonOf(reply: Reply): Reply {
  const status = statusOf(reply) ?? 'UNKNOWN'
  const error = decodeMessage(statusField(reply, 'grpc-message') ?? '')
  const body = Buffer.from(JSON.stringify({ error: error === '' ? status : error }))
  const own = ['content-type', 'application/json', 'content-length', String(body.length)]
  return { status: httpOfStatus(status), headers: [...own, ...withoutStatus(reply.headers)], body }
}

function grpcOf({ status, headers, body }: Reply): Reply {
  const text = body instanceof Uint8Array ? Buffer.from(body).toString('utf8') : ''
  return statusReply(statusOfHttp(status), messageOf(text), withoutOwnFields(headers))
}

function messageOf(text: string): string {
  try {
    const { error } = JSON.parse(text) as { readonly error?: unknown }
    if (typeof error === 'string') return error
  } catch {
    // It is no JSON, so it is a text for people.
  }
  return text.slice(0, MAX_MESSAGE)
}

function withoutStatus(headers: RawPairs): string[] {
  return withoutOwnFields(headers).filter((_, i, fields) => !/^grpc-/i.test(fields[i & ~1] as string))
}
