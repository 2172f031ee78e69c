/** What a load landed with instead of an entry, and whose it is. */
import { GatewayError } from '../core/errors.ts'
import type { Reply } from '../core/reply.ts'
import type { Landing } from './job.ts'

export type Trouble = Exclude<Landing, { kind: 'entry' }>

/** A failure of somebody else's load, or a refusal of somebody else's credentials. */
export function isAnothers(trouble: Trouble): boolean {
  if (trouble.kind === 'failed') return trouble.error.fault.retry === 'other'
  return trouble.kind === 'reply' && trouble.personal
}

/** The reply of a load to who leads it, or who has joined: what is meant for one caller is the leader's. */
export function replyFor(trouble: Trouble, joined: boolean): Reply | undefined {
  if (trouble.kind === 'failed') return undefined
  if (trouble.kind === 'single') return joined ? undefined : trouble.take()
  return joined && trouble.personal ? undefined : trouble.reply
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
