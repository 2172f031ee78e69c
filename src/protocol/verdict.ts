/**
 * What an answer says of the call, of the backend and of another try: what retries, hedges, outlier detection, limits and
 * the cache go by. HTTP says it in the status; a dialect with a status of its own (gRPC) says it in its own way.
 */
import type { Reply } from '../core/reply.ts'

export interface Verdict {
  /**
   * `ok`: the answer to what was asked. `other`: no complaint, and nothing to keep (a redirect, a part, no content).
   * `refused`: the caller's mistake, and the backend did its work. `overloaded`: not now. `failed`: the backend's fault.
   */
  readonly kind: 'ok' | 'other' | 'refused' | 'overloaded' | 'failed'
  /** Whether another backend may do better: `once`, where the fault may be the input's, and one try tells. */
  readonly retry: 'never' | 'once' | 'elsewhere'
  /**
   * What is complained of: the input, which would be refused again whoever sends it; the caller's credentials or how much it
   * asks; the time that there was. Left out: the call as a whole, or the backend.
   */
  readonly about?: 'input' | 'caller' | 'time'
  /** The complaint in a word, of few, for metrics and reasons: `status 503`. */
  readonly code: string
  /** How long the backend asks to be left alone, where it says so in another way than by `Retry-After`. */
  readonly retryAfterMs?: number
}

/** By head and trailers; asked again of a body that streamed once its trailers are there. */
export function verdictOf(protocol: { verdict?(reply: Reply): Verdict }, reply: Reply): Verdict {
  return protocol.verdict ? protocol.verdict(reply) : verdictOfStatus(reply.status)
}

/** The backend's trouble and not the caller's: an old answer is better than this one, if there is any. */
export function isBackendFailure({ kind, about }: Verdict): boolean {
  return kind === 'failed' || (kind === 'overloaded' && about !== 'caller')
}

/** The backend did its work, whatever came of it. */
export function isDone({ kind }: Verdict): boolean {
  return kind !== 'failed' && kind !== 'overloaded'
}

/** Of HTTP, by status; three digits, so there are not many. */
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
  // A model that fails on this input will fail again; a backend that is broken will not be asked again.
  500: { kind: 'failed', retry: 'once' },
  502: { kind: 'failed', retry: 'elsewhere' },
  503: { kind: 'overloaded', retry: 'elsewhere' },
  504: { kind: 'failed', retry: 'elsewhere', about: 'time' },
}
