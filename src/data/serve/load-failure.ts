/** What a load landed with instead of an entry, and whose it is. */
import { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import type { Landing } from '../rows/lookup-context.ts'

export type Trouble = Exclude<Landing, { kind: 'entry' }>

type Own = () => Digest | undefined

/** A failure of somebody else's load, or what was said to somebody else alone. `own`: the refusal key of who joined. */
export function isAnothers(trouble: Trouble, own: Own): boolean {
  if (trouble.kind === 'failed') return trouble.error.fault.retry === 'other'
  return trouble.kind === 'reply' && !isForBoth(trouble, own)
}

/** The reply of a load to who leads it, or (`own`) to who has joined: what is meant for one caller is the leader's. */
export function replyFor(trouble: Trouble, own: Own | undefined): Reply | undefined {
  if (trouble.kind === 'failed') return undefined
  if (trouble.kind === 'single') return own ? undefined : trouble.take()
  return own && !isForBoth(trouble, own) ? undefined : trouble.reply
}

/** Under one key are calls of which a backend may take one and refuse the other: for a field, a spelling, a size. */
function isForBoth({ personal, said }: Extract<Trouble, { kind: 'reply' }>, own: Own): boolean {
  return !personal && (said === 'to all' || (said !== undefined && said === own()))
}

/** What a row lands with that its load left open; most loads leave none, so nothing is made before somebody looks. */
const NOWHERE: Landing = {
  kind: 'failed',
  get error() {
    return new GatewayError('internal', 'the gateway failed on this call')
  },
}

export function landedNowhere(error: unknown): Landing {
  if (error === undefined) return NOWHERE
  if (error instanceof GatewayError) return { kind: 'failed', error }
  return {
    kind: 'failed',
    error: new GatewayError('internal', 'the gateway failed on this call', { cause: error }),
  }
}
