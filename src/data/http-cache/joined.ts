/** What somebody else's load brings to who has joined it: perhaps the answer to other fields than his, or none for sharing. */
import type { Answer } from '../../core/reply.ts'
import { fetched, freshnessOf, replyTo, stale } from './answers.ts'
import type { Landed } from './load.ts'
import { answerDigest } from './node.ts'
import type { Place, Wanted } from './shelf.ts'

/** `now`: wall milliseconds. */
interface Brought {
  readonly landed: Landed
  readonly now: number
}

/** Undefined: he is to ask for himself. Throws what the load failed with, where that is his failure as well. */
export function joinedAnswer(wanted: Wanted, place: Place, { landed, now }: Brought): Answer | undefined {
  switch (landed.kind) {
    case 'kept': {
      const { entry, node, status } = landed
      const isOurs = answerDigest(wanted, node) === entry.digest
      if (!isOurs || freshnessOf(wanted, entry, now) !== 'fresh') return undefined
      return {
        reply: replyTo(wanted, entry, now),
        outcome: fetched(wanted, { status, collapsed: true, now }),
      }
    }
    case 'reply': {
      const { reply } = landed
      const { status } = reply
      const old = status >= 500 ? stale(wanted, place.shelved, { now, status }) : undefined
      return old ?? { reply, outcome: fetched(wanted, { status, collapsed: true, now }) }
    }
    case 'failed': {
      const { fault } = landed.error
      const old = fault.blame === 'caller' ? undefined : stale(wanted, place.shelved, { now })
      // Another's failure need not be ours.
      if (old || fault.retry === 'other') return old
      throw landed.error
    }
    case 'none':
      return undefined
  }
}
