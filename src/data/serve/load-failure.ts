/** What a load landed with instead of an entry, and whose it is. */
import { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import type { LoadResult } from '../rows/lookup-context.ts'

export type LoadFailure = Exclude<LoadResult, { kind: 'entry' }>

type Own = () => Digest | undefined

/** A failure of somebody else's load, or what was said to somebody else alone. `own`: the refusal key of who joined. */
export function isAnothers(failure: LoadFailure, own: Own): boolean {
  if (failure.kind === 'failed') return failure.error.fault.retry === 'other'
  return failure.kind === 'reply' && !isForBoth(failure, own)
}

/** The reply of a load to who leads it, or (`own`) to who has joined: what is meant for one caller is the leader's. */
export function replyFor(failure: LoadFailure, own: Own | undefined): Reply | undefined {
  if (failure.kind === 'failed') return undefined
  if (failure.kind === 'single') return own ? undefined : failure.take()
  return own && !isForBoth(failure, own) ? undefined : failure.reply
}

/** Under one key are calls of which a backend may take one and refuse the other: for a field, a spelling, a size. */
function isForBoth({ personal, said }: Extract<LoadFailure, { kind: 'reply' }>, own: Own): boolean {
  return !personal && (said === 'to all' || (said !== undefined && said === own()))
}

/** What a row lands with that its load left open; most loads leave none, so nothing is made before somebody looks. */
const NOWHERE: LoadResult = {
  kind: 'failed',
  get error() {
    return new GatewayError('internal', 'the gateway failed on this call')
  },
}

export function unsettled(error: unknown): LoadResult {
  if (error === undefined) return NOWHERE
  if (error instanceof GatewayError) return { kind: 'failed', error }
  return {
    kind: 'failed',
    error: new GatewayError('internal', 'the gateway failed on this call', { cause: error }),
  }
}
