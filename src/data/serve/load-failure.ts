/** What a load landed with instead of an entry, and which callers may be given it. */
import { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import type { LoadResult } from '../rows/lookup-context.ts'

export type LoadFailure = Exclude<LoadResult, { kind: 'entry' | 'running' }>

type RefusalKeyOf = () => Digest | undefined

/** Whether a failure concerns the leader of the load alone, so that a caller who joined tries once more. `refusalKey`: the joiner's. */
export function isLeaderOnly(failure: LoadFailure, refusalKey: RefusalKeyOf): boolean {
  if (failure.kind === 'failed')
    return failure.error.fault.retry === 'other' || failure.error.detail.ofTenant === true
  return failure.kind === 'reply' && !isShared(failure, refusalKey)
}

/** The reply for the leader of the load, or, with the `refusalKey` of a caller who joined, for that caller. */
export function replyFor(failure: LoadFailure, refusalKey: RefusalKeyOf | undefined): Reply | undefined {
  if (failure.kind === 'failed') return undefined
  if (failure.kind === 'single') return refusalKey ? undefined : failure.take()
  return refusalKey && !isShared(failure, refusalKey) ? undefined : failure.reply
}

/** Whether leader and joiner get the same reply: under one key, a backend may accept one call and refuse another (a field, a size). */
function isShared(
  { personal, audience }: Extract<LoadFailure, { kind: 'reply' }>,
  refusalKey: RefusalKeyOf,
): boolean {
  return !personal && (audience === 'all' || (audience !== undefined && audience === refusalKey()))
}

/** The result of a row that its load left open. Hardly any load does, so the error is made only when it is read. */
const NOT_LANDED: LoadResult = {
  kind: 'failed',
  get error() {
    return new GatewayError('internal', 'the gateway failed on this call')
  },
}

export function unsettled(error: unknown): LoadResult {
  if (error === undefined) return NOT_LANDED
  if (error instanceof GatewayError) return { kind: 'failed', error }
  return {
    kind: 'failed',
    error: new GatewayError('internal', 'the gateway failed on this call', { cause: error }),
  }
}
