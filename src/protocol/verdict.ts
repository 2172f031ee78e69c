/**
 * The verdict on an answer: what it says about the call, the backend and a retry. Retries, hedges, outlier detection, limits and
 * the cache depend on it. In HTTP it follows from the status; a dialect with a status of its own (gRPC) provides its own.
 */
import type { Reply } from '../core/reply.ts'

export interface Verdict {
  /**
   * `ok`: a good answer. `other`: no error, but nothing to store (a redirect, a part, no content). `refused`: the caller's
   * mistake, and the backend did its work. `overloaded`: the backend is too busy now. `failed`: the backend's fault.
   */
  readonly kind: 'ok' | 'other' | 'refused' | 'overloaded' | 'failed'
  /** Whether another backend may do better. `once`: the input may be at fault, and one retry shows whether it is. */
  readonly retry: 'never' | 'once' | 'elsewhere'
  /**
   * The subject of the error: the input, which would be refused from any caller; the caller, by its credentials or its rate; or
   * the time that was allowed. Left out: the call as a whole, or the backend.
   */
  readonly about?: 'input' | 'caller' | 'time'
  /** The error in a few words, from a small set, for metrics and reasons: `status 503`. */
  readonly code: string
  /** How long the backend asks to wait before a retry, if it says so by other means than `Retry-After`. */
  readonly retryAfterMs?: number
}

/** The verdict by head and trailers; of a body that streams it is taken again when the trailers are there. */
export function verdictOf(protocol: { verdict?(reply: Reply): Verdict }, reply: Reply): Verdict {
  return protocol.verdict ? protocol.verdict(reply) : verdictOfStatus(reply.status)
}

/** Whether the backend is at fault and not the caller, so that a stale answer is better than this one. */
export function isBackendFailure({ kind, about }: Verdict): boolean {
  return kind === 'failed' || (kind === 'overloaded' && about !== 'caller')
}

/** Whether the backend did its work, whatever the result. */
export function isDone({ kind }: Verdict): boolean {
  return kind !== 'failed' && kind !== 'overloaded'
}

/** The verdicts by HTTP status; there are fewer than a thousand. */
const known = new Map<number, Verdict>()

export function verdictOfStatus(status: number): Verdict {
  let verdict = known.get(status)
  if (!verdict) {
    verdict = { ...meaningOf(status), code: `status ${status}` }
    known.set(status, verdict)
  }
  return verdict
}

type StatusMeaning = Omit<Verdict, 'code'>

function meaningOf(status: number): StatusMeaning {
  if (status === 200) return { kind: 'ok', retry: 'never' }
  if (status < 400) return { kind: 'other', retry: 'never' }
  const special = SPECIAL[status]
  if (special) return special
  return { kind: status < 500 ? 'refused' : 'failed', retry: 'never' }
}

const OF_INPUT: StatusMeaning = { kind: 'refused', retry: 'never', about: 'input' }
const OF_CALLER: StatusMeaning = { kind: 'refused', retry: 'never', about: 'caller' }

// RFC 9110, section 15; RFC 6585, section 4.
const SPECIAL: Readonly<Record<number, StatusMeaning>> = {
  400: OF_INPUT,
  401: OF_CALLER,
  403: OF_CALLER,
  404: OF_INPUT,
  407: OF_CALLER,
  408: { kind: 'refused', retry: 'never', about: 'time' },
  413: OF_INPUT,
  415: OF_INPUT,
  422: OF_INPUT,
  429: { kind: 'overloaded', retry: 'elsewhere', about: 'caller' },
  // Either the model fails on this input, and will fail again, or this backend is broken, and another may succeed.
  500: { kind: 'failed', retry: 'once' },
  502: { kind: 'failed', retry: 'elsewhere' },
  503: { kind: 'overloaded', retry: 'elsewhere' },
  504: { kind: 'failed', retry: 'elsewhere', about: 'time' },
}
