/** Where an answer goes that may not be kept: to all who wait for the load, to those who asked in the same way, or to one. */
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import { verdictOf } from '../../protocol/verdict.ts'
import { letGo } from '../backend/incoming.ts'
import type { Load } from '../flight/flights.ts'
import { callerTimeout } from '../http/deadlines.ts'
import type { LoadResult, LookupContext, RefusalOf } from '../rows/lookup-context.ts'

/** How long an answer for one caller alone waits for it, while that caller waits for rows that others load. */
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
  // A refusal is the same for all who asked in the same way; anything else not to be kept is one caller's own.
  const { kind, about, retry } = verdictOf(context.matched.protocol, reply)
  const sharable =
    reply.body instanceof Uint8Array && kind !== 'ok' && !/set-cookie/i.test(reply.headers.join('\n'))
  if (sharable) {
    // Of who asks and not of what is asked; of a deadline that the backend was told of, and could not meet.
    const isForCaller = context.matched.route.cache?.scope === 'shared' && about === 'caller'
    const isForTime = about === 'time' && callerTimeout(context.call.headers) !== undefined
    const personal = isForCaller || isForTime
    // What another backend may do better tells of this backend alone, and nothing of the call.
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
