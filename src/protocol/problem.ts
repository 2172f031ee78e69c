/** Errors as RFC 9457 problem details, for calls without a dialect. */
import { type GatewayError } from '../core/errors.ts'
import { PROBLEM_TYPE, problemBody } from '../core/problem.ts'
import type { Reply } from '../core/reply.ts'
import { jsonReply } from './json/reply.ts'

/** `traceId`: of a call that is traced. */
export function problem({ fault, message, code }: GatewayError, traceId?: string): Reply {
  const trace = traceId === undefined ? {} : { traceId }
  const body = problemBody(fault.status, { detail: message, code, ...trace })
  return jsonReply(fault.status, Buffer.from(body), PROBLEM_TYPE)
}
