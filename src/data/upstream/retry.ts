/** The rules for retries: when a call may be sent again. Only this file decides it. */
import { header } from '../../core/call.ts'
import { verdictOf } from '../../protocol/verdict.ts'
import type { Matched } from '../route/routes.ts'
import type { AttemptResult } from './upstream-call.ts'

/** The verb is a prediction of a known dialect, and the route does not say that repeating a request matters. */
export function isPure({ route, target }: Matched): boolean {
  return target.prediction && route.pure
}

/** Methods of which several requests have the effect of one (RFC 9110, section 9.2.2; RFC 10008, section 2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'QUERY'])

/** The method may be repeated, and the route does not say that repeating a request matters. */
export function isIdempotent(method: string, { route }: Matched): boolean {
  return IDEMPOTENT.has(method) && route.pure
}

/** The method of a call, and how often it was retried. */
export interface RetryState {
  readonly method: string
  /** Counts from 0. */
  readonly turn: number
}

/** Whether another attempt may give a better result and harms nobody. */
export function repeatable(result: AttemptResult, matched: Matched, { method, turn }: RetryState): boolean {
  if ('failure' in result) {
    const { fault, detail } = result.failure
    if (fault.retry !== 'other') return false
    // A backend may close a connection just when the next request is sent on it, and the sender cannot tell.
    return detail.unsent === true || isPure(matched) || isIdempotent(method, matched)
  }
  if (!isPure(matched)) return false
  const { retry } = verdictOf(matched.protocol, result.reply)
  return retry === 'elsewhere' || (retry === 'once' && turn === 0)
}

/** How long the backend asks for no calls, in milliseconds (RFC 9110, section 10.2.3); undefined: it does not ask. */
export function retryAfterMs(result: AttemptResult, { protocol }: Matched): number | undefined {
  if ('failure' in result) return undefined
  const { retry, retryAfterMs: stated } = verdictOf(protocol, result.reply)
  if (stated !== undefined || retry !== 'elsewhere') return stated
  const value = header(result.reply.headers, 'retry-after')
  if (value === undefined) return undefined
  if (/^\d{1,6}$/.test(value)) return Number(value) * 1000
  const until = Date.parse(value)
  return Number.isNaN(until) ? undefined : Math.max(0, until - Date.now())
}
