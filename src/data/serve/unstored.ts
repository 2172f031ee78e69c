/** Lands a reply that may not be stored: for all who wait for the load, for those with the same refusal key, or for the leader. */
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import { verdictOf } from '../../protocol/verdict.ts'
import { letGo } from '../backend/incoming.ts'
import type { Load } from '../flight/flights.ts'
import { callerTimeout } from '../http/deadlines.ts'
import type { LoadResult, LookupContext, RefusalOf } from '../rows/lookup-context.ts'

/** How long a reply for the leader alone is held, while the leader waits for rows that other calls load. */
const TAKE_MS = 1000

export interface UnstoredReply {
  readonly load: Load<LoadResult>
  readonly digests: readonly Digest[]
  readonly reply: Reply
  readonly partial: boolean
}

export function landUnstored(
  refusalOf: RefusalOf,
  context: LookupContext,
  { load, digests, reply, partial }: UnstoredReply,
): void {
  // A refusal is the same for all who asked in the same way; any other reply that is not stored belongs to one caller.
  const { kind, about, retry } = verdictOf(context.matched.protocol, reply)
  const sharable =
    reply.body instanceof Uint8Array && kind !== 'ok' && !/set-cookie/i.test(reply.headers.join('\n'))
  if (sharable) {
    // Personal: about the caller and not the input, or about a deadline that the backend was given and could not meet.
    const isForCaller = context.matched.route.cache?.scope === 'shared' && about === 'caller'
    const isForTime = about === 'time' && callerTimeout(context.call.headers) !== undefined
    const personal = isForCaller || isForTime
    // If another backend may do better, the reply is about this backend and not about the call, so every waiter gets it.

    const audience = retry === 'elsewhere' ? 'all' : refusalOf(context)
    for (const digest of digests) load.land(digest, { kind: 'reply', reply, partial, personal, audience })
    return
  }
  let left: Reply | undefined = reply
  const take = () => {
    const taken = left
    left = undefined
    return taken
  }
  for (const digest of digests) load.land(digest, { kind: 'single', take, partial })
  setTimeout(() => {
    letGo(take()?.body)
  }, TAKE_MS).unref()
}
