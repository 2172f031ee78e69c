/** Errors as RFC 9457 problem details: for calls of no dialect of its own. */
import { type GatewayError } from '../core/errors.ts'
import type { Reply } from '../core/reply.ts'

export function problem(error: GatewayError): Reply {
  const body = {
    type: 'about:blank',
    title: TITLES[error.fault.status] ?? 'Error',
    status: error.fault.status,
    code: error.code,
    detail: error.message,
  }
  return {
    status: error.fault.status,
    headers: ['Content-Type', 'application/problem+json'],
    body: Buffer.from(`${JSON.stringify(body)}\n`),
  }
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  404: 'Not Found',
  408: 'Request Timeout',
  413: 'Content Too Large',
  499: 'Client Closed Request',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
}
