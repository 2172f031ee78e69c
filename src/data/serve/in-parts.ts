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
  /** Its share of the backend's milliseconds. */
  readonly costMs: number
  /** The form of the call that was sent, if that was another caller's. */
  readonly form?: number
}

export type FetchResult =
  /** `leaderReply`: the backend's reply, if it answers this call alone. */
  | { readonly answers: readonly FetchedAnswer[]; readonly leaderReply?: Reply }
  | { readonly unstored: Reply }
  | SomeAnswers
  /** Events arrive. `isShared`: they may be given to all who ask for the same, and kept. */
  | { readonly running: UpstreamResponse; readonly isShared: boolean }

/** Of several requests some were answered, and one was not: the answers by row, and what became of that one. */
export interface SomeAnswers {
  readonly some: ReadonlyMap<number, FetchedAnswer>
  readonly rest: { readonly unstored: Reply } | { readonly error: unknown }
}

/** Requests at a time for the rows of one call. */
const MAX_PARTS = 4

/**
 * `send` fetches rows in one request, which has at most `most` of them. The first that brings no answers ends it, once those that
 * were sent by then have come.
 */
export async function inParts(
  rows: readonly Row[],
  most: number,
  send: (part: readonly Row[]) => Awaitable<FetchResult>,
): Promise<FetchResult> {
  const some = new Map<number, FetchedAnswer>()
  let rest: SomeAnswers['rest'] | undefined
  let at = 0
  const run = async (): Promise<void> => {
    while (at < rows.length && !rest) {
      const first = at
      at += most
      const result = await outcomeOf(send, rows.slice(first, at))
      if ('answers' in result) for (const [i, answer] of result.answers.entries()) some.set(first + i, answer)
      else if (!rest) rest = result
      else if ('unstored' in result) letGo(result.unstored.body)
    }
  }
  await Promise.all(Array.from({ length: MAX_PARTS }, run))
  if (!rest) return { answers: rows.map((_, i) => some.get(i) as FetchedAnswer) }
  if (some.size > 0) return { some, rest }
  if ('error' in rest) throw rest.error
  return rest
}

type PartOutcome = { readonly answers: readonly FetchedAnswer[] } | SomeAnswers['rest']

async function outcomeOf(
  send: (part: readonly Row[]) => Awaitable<FetchResult>,
  part: readonly Row[],
): Promise<PartOutcome> {
  try {
    const result = await send(part)
    if ('answers' in result || 'unstored' in result) return result
    return 'running' in result ? { unstored: result.running.reply } : result.rest
  } catch (error) {
    return { error }
  }
}
