/** The verdict on a gRPC answer, by its status. For any dialect that is called over gRPC. */
import type { Reply } from '../../core/reply.ts'
import type { Verdict } from '../verdict.ts'
import { STATUS_NAMES, type StatusName, statusField, statusOf } from './status.ts'

type CodelessVerdict = Omit<Verdict, 'code'>

const OF_INPUT: CodelessVerdict = { kind: 'refused', retry: 'never', about: 'input' }
const OF_CALLER: CodelessVerdict = { kind: 'refused', retry: 'never', about: 'caller' }
const REFUSED: CodelessVerdict = { kind: 'refused', retry: 'never' }
/** Either the model fails on this input, and will fail again, or this backend is broken, and another may succeed. */
const FAILED: CodelessVerdict = { kind: 'failed', retry: 'once' }
const OVERLOADED: CodelessVerdict = { kind: 'overloaded', retry: 'elsewhere' }

const MEANINGS: Readonly<Record<StatusName, CodelessVerdict>> = {
  OK: { kind: 'ok', retry: 'never' },
  CANCELLED: REFUSED,
  UNKNOWN: FAILED,
  INVALID_ARGUMENT: OF_INPUT,
  DEADLINE_EXCEEDED: { kind: 'failed', retry: 'elsewhere', about: 'time' },
  NOT_FOUND: OF_INPUT,
  ALREADY_EXISTS: OF_INPUT,
  PERMISSION_DENIED: OF_CALLER,
  RESOURCE_EXHAUSTED: OVERLOADED,
  // About the state that the server is in, so not about the input alone.
  FAILED_PRECONDITION: REFUSED,
  ABORTED: FAILED,
  OUT_OF_RANGE: OF_INPUT,
  // Callers choose the method, so they could get a backend ejected if it counted as a failure.
  UNIMPLEMENTED: REFUSED,
  INTERNAL: FAILED,
  UNAVAILABLE: OVERLOADED,
  DATA_LOSS: FAILED,
  UNAUTHENTICATED: OF_CALLER,
}

const VERDICTS = Object.fromEntries(
  STATUS_NAMES.map((name) => [name, { ...MEANINGS[name], code: `grpc ${name}` }]),
) as Readonly<Record<StatusName, Verdict>>

/** What libraries say of a message that is too long; they have no other status for it than that of a used-up quota. */
const TOO_LONG = /message (?:is )?(?:larger than|exceeds maximum)/i

/** By head and trailers. While the body streams the answer counts as good. */
export function grpcVerdict(reply: Reply): Verdict {
  const name = statusOf(reply) ?? 'OK'
  const verdict = VERDICTS[name]
  if (name === 'OK') return verdict
  if (name === 'RESOURCE_EXHAUSTED' && TOO_LONG.test(statusField(reply, 'grpc-message') ?? ''))
    return { ...OF_INPUT, code: verdict.code }
  const pushback = statusField(reply, 'grpc-retry-pushback-ms')
  return pushback === undefined ? verdict : afterPushback(verdict, pushback)
}

/** What is no number of milliseconds asks for no retry at all (grpc/proposal, A6). */
function afterPushback(verdict: Verdict, pushback: string): Verdict {
  if (!/^\d{1,10}$/.test(pushback)) return { ...verdict, retry: 'never' }
  return { ...verdict, retryAfterMs: Number(pushback) }
}
