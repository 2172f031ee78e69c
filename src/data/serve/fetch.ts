/**
 * Rows to a backend, and their answers back: in a request of the call's own, or, where the route batches, in one
 * with the rows of other callers. What comes back is an answer a row, fit to be kept, or the reply as it was.
 */

import type { Call, RawPairs } from '../../core/call.ts'
import type { Reply } from '../../core/reply.ts'
import type { Signal } from '../../lib/cancel.ts'
import { type Awaitable, after } from '../../lib/deferred.ts'
import type { Row, RowAnswer } from '../../protocol/protocol.ts'
import { verdictOf } from '../../protocol/verdict.ts'
import { type BatchCall, Batches, type BatchesParts } from '../batch/batches.ts'
import {
  collectable,
  isOpenEnded,
  responseDirectivesOf,
  type StorePolicy,
  unkeepable,
  unstorable,
} from '../decision/storable.ts'
import type { SharedDeadline } from '../flight/shared-deadline.ts'
import { isFresh } from '../http-cache/response-directives.ts'
import type { Matched, RouteCache } from '../route/routes.ts'
import type { LookupContext } from '../rows/lookup-context.ts'
import { requestHeaders } from '../rows/row-request.ts'
import type { Splitting } from '../rows/splitting.ts'
import type { Dispatch, UpstreamResponse } from '../upstream/upstream-call.ts'

/** One row's answer, or the whole call's, and who gave it. */
export interface FetchedAnswer {
  readonly response: UpstreamResponse
  /** Undefined: the reply as a whole. */
  readonly answer: RowAnswer | undefined
  /** Of the call that was sent, where it was another's. */
  readonly form?: number
}

export type FetchResult =
  /** `own`: what the backend said to this call alone. */
  { readonly answers: readonly FetchedAnswer[]; readonly leaderReply?: Reply } | { readonly unstored: Reply }

export interface FetchOptions {
  readonly rows: readonly Row[]
  /** The rows are the call as it came. */
  readonly isWhole: boolean
  readonly signal: Signal
  readonly until: SharedDeadline
}

export type Fetch = (context: LookupContext, options: FetchOptions) => Awaitable<FetchResult>

export interface FetchParts extends Omit<BatchesParts, 'cut'> {
  readonly dispatch: Dispatch
  /** The call's own headers, as they go to a backend. */
  readonly outgoing: (call: Call) => RawPairs
  readonly splitting: Pick<Splitting, 'violated'>
}

export function createFetch(parts: FetchParts): Fetch {
  const { dispatch, outgoing, splitting, clock } = parts
  const batches = new Batches({ ...parts, cut: cutRows })

  return function fetch(context, options) {
    // Another's request, with these rows in it, would not show what the server makes of this form.
    if (!context.rows || !context.isShown || !batches.isBatched(context)) return unbatched(context, options)
    return after(batches.fetch(context, options), (batched) =>
      'refused' in batched ? { unstored: batched.refused.reply } : { answers: batched.answers },
    )
  }

  function unbatched(
    context: LookupContext,
    { rows, isWhole, signal, until }: FetchOptions,
  ): Awaitable<FetchResult> {
    const { call, matched, plan, body } = context
    const joined = isWhole ? undefined : matched.protocol.rows?.join(plan, rows, body)
    const response = dispatch(call, matched, {
      body: joined?.body ?? body,
      contentLength: undefined,
      // Without Accept-Encoding: an encoded answer could not be shared with callers who do not take that coding.
      headers: requestHeaders(outgoing(call), joined?.headers ?? NONE),
      key: rows[0]?.digest,
      signal,
      until,
      collectBytes: collectable((matched.route.cache as RouteCache).maxEntryBytes, rows.length),
    })
    return after(response, (answered) => resultOf(context, answered, rows.length))
  }

  function resultOf(context: LookupContext, response: UpstreamResponse, count: number): FetchResult {
    if (!context.rows)
      return mayKeep(context, response, clock.wall())
        ? { answers: [{ answer: undefined, response }], leaderReply: response.reply }
        : { unstored: response.reply }
    const answers = cutRows(context, response, count)
    return answers
      ? { answers: answers.map((answer) => ({ answer, response })), leaderReply: response.reply }
      : { unstored: response.reply }
  }

  /** The reply's answers, one a row; undefined where it must not be kept or does not fit its rows. */
  function cutRows(
    of: BatchCall,
    response: UpstreamResponse,
    count: number,
  ): readonly RowAnswer[] | undefined {
    const { matched, plan } = of
    const { protocol } = matched
    const { reply } = response
    const { body } = reply
    if (!(body instanceof Uint8Array) || unstorable(reply, policyOf(matched, count)) !== undefined)
      return undefined
    if (isTooOld(matched, response, clock.wall())) return undefined
    const answers = protocol.rows?.cut(reply, body, count, plan)
    if (answers?.length === count) return answers
    // What is no answer at all, an error under 200 say, tells nothing of the model's rows.
    if (protocol.storable?.(reply, body, plan, false) !== false)
      splitting.violated(of, `asked for ${count} rows, and the answer does not have them`)
    return undefined
  }
}

const NONE: RawPairs = []

function policyOf({ route, protocol }: Matched, count: number): StorePolicy {
  const { maxEntryBytes, vary, heedBackend } = route.cache as RouteCache
  return { protocol, maxEntryBytes: maxEntryBytes * count, vary, heedBackend }
}

/** Whether it was too old already when it came. `at`: wall milliseconds. */
function isTooOld({ route, protocol }: Matched, { reply, ms }: UpstreamResponse, at: number): boolean {
  return (
    (route.cache as RouteCache).heedBackend &&
    !isFresh(responseDirectivesOf(reply, protocol), { at, delayMs: ms })
  )
}

/** Whether the reply to a whole call may be kept; a refusal only where the route remembers refusals. */
function mayKeep({ matched, plan }: LookupContext, response: UpstreamResponse, at: number): boolean {
  const { reply } = response
  const { protocol, route } = matched
  const { negativeTtl, rows } = route.cache as RouteCache
  const { body } = reply
  if (!(body instanceof Uint8Array) || isTooOld(matched, response, at)) return false
  const { kind, about } = verdictOf(protocol, reply)
  // What says that the input is wrong, and would say so again.
  const negative = negativeTtl > 0 && kind === 'refused' && about === 'input'
  if (!negative && kind !== 'ok') return false
  if (unkeepable(reply, policyOf(matched, 1)) !== undefined) return false
  // What the dialect does not read, and what no length and no last chunk ends, may have been cut off anywhere.
  if (negative || !protocol.storable) return !isOpenEnded(reply)
  return protocol.storable(reply, body, plan, rows !== 'never')
}
