/** Where an answer goes that may not be kept: to all who wait for the load, to those who asked in the same way, or to one. */
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import { letGo } from '../backend/incoming.ts'
import type { Load } from '../flight/flights.ts'
import { callerTimeout } from '../http/deadlines.ts'
import type { LoadResult, LookupContext, RefusalOf } from '../rows/lookup-context.ts'

/** How long an answer for one caller alone waits for it, while that caller waits for rows that others load. */
const TAKE_MS = 1000

/** Statuses that may speak of who asks and not of what is asked. */
const PERSONAL = new Set([401, 403, 407, 429])
/** Statuses of a backend that was told of a deadline and could not meet it. */
const LATE = new Set([408, 504])

/** Statuses that tell of the backend alone, and nothing of the call. */
const OF_NO_CALL = new Set([429, 502, 503, 504])

export interface UnkeptReply {
  readonly load: Load<LoadResult>
  readonly digests: readonly Digest[]
  readonly reply: Reply
  readonly partial: boolean
}

export function landUnkept(
  refusalOf: RefusalOf,
  context: LookupContext,
  { load, digests, reply, partial }: UnkeptReply,
): void {
  // A refusal is the same for all who asked in the same way; anything else not to be kept is one caller's own.
  const sharable =
    reply.body instanceof Uint8Array && reply.status !== 200 && !/set-cookie/i.test(reply.headers.join('\n'))
  if (sharable) {
    const isForCaller = context.matched.route.cache?.scope === 'shared' && PERSONAL.has(reply.status)
    const isForTime = LATE.has(reply.status) && callerTimeout(context.call.headers) !== undefined
    const personal = isForCaller || isForTime
    const said = OF_NO_CALL.has(reply.status) ? 'to all' : refusalOf(context)
    for (const digest of digests) load.land(digest, { kind: 'reply', reply, partial, personal, said })
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
