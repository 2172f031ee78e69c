/** An error of the gateway's own as an answer in the dialect of the call. */
import type { GatewayError } from '../../core/errors.ts'
import type { Fields } from '../../core/reply.ts'
import { lastOf } from '../../lib/memo.ts'
import { problem } from '../../protocol/problem.ts'
import type { Protocol } from '../../protocol/protocol.ts'
import type { WholeReply } from '../exchange/whole-answer.ts'
import { proxyStatus } from '../http/status.ts'

/** An error as it is written. One is remembered: a caller who is refused mostly comes again, and must not cost more than others. */
export const refusal = lastOf((fault: GatewayError, protocol: Protocol | undefined) => {
  const reply = (protocol ? protocol.fault(fault) : problem(fault)) as WholeReply
  const own = ['Proxy-Status', proxyStatus(fault), ...(fault.detail.fields ?? [])]
  if (fault.fault.retry === 'later') own.push('Retry-After', String(fault.detail.retryAfterSeconds ?? 1))
  const common: Fields = { pairs: reply.headers }
  return { reply, common, own }
})
