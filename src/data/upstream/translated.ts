/**
 * Sends a call over the other transport where none of the pool's backends has an address for its own: a call over gRPC as a REST
 * request, a REST request as a call over gRPC. What has no form there fails with the reason; in a dialect of one form, and with a
 * body that streams, as any call that the pool has no address for.
 */
import type { Transport } from '../../core/backend.ts'
import { type Body, type Call, isWhole } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { after } from '../../lib/deferred.ts'
import type { Translation } from '../../protocol/protocol.ts'
import { letGo } from '../backend/incoming.ts'
import { transportOf } from '../http/transport.ts'
import type { Matched } from '../route/routes.ts'
import type { Dispatch, UpstreamRequest, UpstreamResponse } from './upstream-call.ts'

export interface TranslatedParts {
  readonly dispatch: Dispatch
  /** Whether a backend of the pool may take calls of the transport. */
  hasTransport(pool: string, transport: Transport): boolean
  /** Whether the model's server has shown that it takes the form. */
  supports(matched: Matched, form: number): boolean
}

/** An answer must be whole to be translated; a longer one fails. */
const MAX_ANSWER_BYTES = 64 << 20

export function translated({ dispatch, hasTransport, supports }: TranslatedParts): Dispatch {
  return (call, matched, request) => {
    const { protocol, route } = matched
    const own = transportOf(request.headers)
    const other = own === 'grpc' ? 'http' : 'grpc'
    const isNeeded = !hasTransport(route.pool, own) && hasTransport(route.pool, other)
    const body = matched.target.isBodyEmpty ? NOTHING : (request.body ?? NOTHING)
    if (!isNeeded || !protocol.translate || !isWhole(body)) return dispatch(call, matched, request)
    const translation = protocol.translate(ofSettled(call, matched, body), body, (form) =>
      supports(matched, form),
    )
    return after(dispatch(call, matched, requestOf(request, translation)), (response) =>
      answered(response, translation),
    )
  }
}

const NOTHING = new Uint8Array(0)

/** The call as translations read it. */
function ofSettled(call: Call, { target }: Matched, body: Body): Call {
  const { method, path, query, headers } = call
  return { method, path, query, headers, body, target } as Call
}

function requestOf(request: UpstreamRequest, { method, path, body, headers }: Translation): UpstreamRequest {
  return {
    ...request,
    as: { method, target: path },
    body: body.length > 0 || method !== 'GET' ? body : undefined,
    contentLength: undefined,
    headers: headers(request.headers),
    collectBytes: Math.max(request.collectBytes, MAX_ANSWER_BYTES),
  }
}

function answered(response: UpstreamResponse, translation: Translation): UpstreamResponse {
  const { reply } = response
  if (reply.body instanceof Uint8Array) return { ...response, reply: translation.answer(reply) }
  // Passed on as it is, it would be an answer in a form that the caller does not speak.
  letGo(reply.body)
  throw new GatewayError('backendGarbled', 'the answer is too long, or a stream, and cannot be translated')
}
