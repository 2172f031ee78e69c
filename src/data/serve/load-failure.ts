/** What a load landed with instead of an entry, and whose it is. */
import { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import type { LoadResult } from '../rows/lookup-context.ts'

export type LoadFailure = Exclude<LoadResult, { kind: 'entry' }>

type RefusalKeyOf = () => Digest | undefined

/** A failure of somebody else's load, or what was said to somebody else alone. `own`: the refusal key of who joined. */
export function isLeaderOnly(failure: LoadFailure, refusalKey: RefusalKeyOf): boolean {
  if (failure.kind === 'failed') return failure.error.fault.retry === 'other'
  return failure.kind === 'reply' && !isShared(failure, refusalKey)
}

/** The reply of a load to who leads it, or (`own`) to who has joined: what is meant for one caller is the leader's. */
export function replyFor(failure: LoadFailure, refusalKey: RefusalKeyOf | undefined): Reply | undefined {
  if (failure.kind === 'failed') return undefined
  if (failure.kind === 'single') return refusalKey ? undefined : failure.take()
  return refusalKey && !isShared(failure, refusalKey) ? undefined : failure.reply
}

/** Under one key are calls of which a backend may take one and refuse the other: for a field, a spelling, a size. */
function isShared(
  { personal, audience }: Extract<LoadFailure, { kind: 'reply' }>,
  refusalKey: RefusalKeyOf,
): boolean {
  return !personal && (audience === 'all' || (audience !== undefined && audience === refusalKey()))
}

/** What a row lands with that its load left open; most loads leave none, so nothing is made before somebody looks. */
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
