/** Fetches more rows than a backend takes in one request: in parts, a few at a time. */
import type { Reply } from '../../core/reply.ts'
import type { Awaitable } from '../../lib/deferred.ts'
import type { Row, RowAnswer } from '../../protocol/protocol.ts'
import { letGo } from '../backend/incoming.ts'
import type { UpstreamResponse } from '../upstream/upstream-call.ts'

/** The answer to one row or to the whole call, and the upstream response that it was taken from. */
export interface FetchedAnswer {
  readonly response: UpstreamResponse
  /** Undefined: the whole reply is the answer. */
  readonly answer: RowAnswer | undefined
  /** The form of the call that was sent, if that was another caller's. */
  readonly form?: number
}

export type FetchResult =
  /** `leaderReply`: the backend's reply, if it answers this call alone. */
  | { readonly answers: readonly FetchedAnswer[]; readonly leaderReply?: Reply }
  | { readonly unstored: Reply }
  /** Events arrive. `isShared`: they may be given to all who ask for the same, and kept. */
  | { readonly running: UpstreamResponse; readonly isShared: boolean }

/** Requests at a time for the rows of one call. */
const MAX_PARTS = 4

/** `send` fetches rows in one request, which has at most `most` of them. The first reply that is no answer ends it. */
export async function inParts(
  rows: readonly Row[],
  most: number,
  send: (part: readonly Row[]) => Awaitable<FetchResult>,
): Promise<FetchResult> {
  const answers: FetchedAnswer[] = []
  let unstored: Reply | undefined
  let at = 0
  const run = async (): Promise<void> => {
    while (at < rows.length && !unstored) {
      const first = at
      at += most
      const result = await send(rows.slice(first, at))
      if ('answers' in result) {
        for (const [i, answer] of result.answers.entries()) answers[first + i] = answer
        continue
      }
      const reply = 'running' in result ? result.running.reply : result.unstored
      if (unstored) letGo(reply.body)
      else unstored = reply
    }
  }
  await Promise.all(Array.from({ length: MAX_PARTS }, run))
  return unstored ? { unstored } : { answers }
}
