/** The answer for a call that has joined another's load: it may be for other request fields, or not for sharing. */
import type { Answer } from '../../core/reply.ts'
import { fetched, freshnessOf, replyTo, stale } from './answers.ts'
import type { HttpLoadResult } from './load.ts'
import { answerDigest } from './node.ts'
import type { HttpLookup, UrlState } from './variant-store.ts'

/** `now`: wall milliseconds. */
interface Brought {
  readonly landed: HttpLoadResult
  readonly now: number
}

/** Undefined: the call needs a load of its own. Throws the load's error where it is this call's as well. */
export function joinedAnswer(
  lookup: HttpLookup,
  urlState: UrlState,
  { landed, now }: Brought,
): Answer | undefined {
  switch (landed.kind) {
    case 'kept': {
      const { entry, node, status } = landed
      const isOurs = answerDigest(lookup, node) === entry.digest
      if (!isOurs || freshnessOf(lookup, entry, now) !== 'fresh') return undefined
      return {
        reply: replyTo(lookup, entry, now),
        outcome: fetched(lookup, { status, collapsed: true, now }),
      }
    }
    case 'reply': {
      const { reply } = landed
      const { status } = reply
      const old = status >= 500 ? stale(lookup, urlState.stored, { now, status }) : undefined
      return old ?? { reply, outcome: fetched(lookup, { status, collapsed: true, now }) }
    }
    case 'failed': {
      const { fault } = landed.error
      const old = fault.blame === 'caller' ? undefined : stale(lookup, urlState.stored, { now })
      // Another call's failure need not be this one's.
      if (old || fault.retry === 'other') return old
      throw landed.error
    }
    case 'none':
      return undefined
  }
}
