/** The rules for fallbacks: whether a call that a pool could not answer goes to another pool, and why. Only this file decides it. */
import type { Call } from '../../core/call.ts'
import { type FaultCode, GatewayError } from '../../core/errors.ts'
import type { Answer } from '../../core/reply.ts'
import { verdictOf } from '../../protocol/verdict.ts'
import type { Matched } from '../route/routes.ts'
import { isIdempotent, isPure } from './retry.ts'

/**
 * `no-backend`: none can take such a call. `overloaded`: there is no place, or the backends say so. `quota`: they refuse it for a
 * limit of theirs. `failing`: they fail, after the retries. `deadline`: too little time was left to ask them.
 */
export type FallbackReason = 'no-backend' | 'overloaded' | 'quota' | 'failing' | 'deadline'

/** What came of a call in one pool. */
export type PoolResult = { readonly answer: Answer } | { readonly error: unknown }

/** Codes with which nothing was sent. */
const UNSENT: Partial<Record<FaultCode, FallbackReason>> = {
  noBackend: 'no-backend',
  unknownModel: 'no-backend',
  noTransport: 'no-backend',
  overloaded: 'overloaded',
}

/** Undefined: the result is the answer to the call. What a backend may have begun to work on is asked again only where a retry would be safe. */
export function fallbackReason(
  result: PoolResult,
  matched: Matched,
  { method }: Pick<Call, 'method'>,
): FallbackReason | undefined {
  if ('error' in result) {
    const { error } = result
    if (!(error instanceof GatewayError)) return undefined
    const reason = UNSENT[error.code]
    if (reason) return reason
    const { fault, detail } = error
    if (error.code === 'deadline') return detail.unsent ? 'deadline' : undefined
    const isSafe = detail.unsent === true || isPure(matched) || isIdempotent(method, matched)
    return fault.blame === 'backend' && isSafe ? 'failing' : undefined
  }
  if (!isPure(matched)) return undefined
  const { kind, about } = verdictOf(matched.protocol, result.answer.reply)
  if (kind === 'overloaded') return about === 'caller' ? 'quota' : 'overloaded'
  return kind === 'failed' ? 'failing' : undefined
}
