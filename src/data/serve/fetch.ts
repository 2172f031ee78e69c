/**
 * Fetches rows from a backend, in a request of the call's own or, if the route batches, together with rows of other callers.
 * The result is one storable answer for each row, or the backend's reply unchanged if it must not be stored.
 */

import { type Call, headerAll, type RawPairs, type WholeBody } from '../../core/call.ts'
import type { Reply } from '../../core/reply.ts'
import type { Signal } from '../../lib/cancel.ts'
import { type Awaitable, after } from '../../lib/deferred.ts'
import type { Row, RowAnswer } from '../../protocol/protocol.ts'
import { verdictOf } from '../../protocol/verdict.ts'
import { Batches, type BatchesParts, type BatchResult } from '../batch/batches.ts'
import { isStreamed } from '../cache/streamed.ts'
import {
  collectable,
  isOpenEnded,
  responseDirectivesOf,
  type StorePolicy,
  unkeepable,
  unstorable,
} from '../decision/storable.ts'
import { meteredRows } from '../decision/token-meter.ts'
import { limitsTokens, type UpstreamAdmission } from '../decision/upstream-admission.ts'
import type { SharedDeadline } from '../flight/shared-deadline.ts'
import { isFresh } from '../http-cache/response-directives.ts'
import type { Matched, RouteCache } from '../route/routes.ts'
import type { LookupContext } from '../rows/lookup-context.ts'
import { requestHeaders } from '../rows/row-request.ts'
import type { Splitting } from '../rows/splitting.ts'
import type { Dispatch, UpstreamResponse } from '../upstream/upstream-call.ts'
import { type FetchResult, inParts } from './in-parts.ts'

export interface FetchOptions {
  readonly rows: readonly Row[]
  /** The rows are all of the call, so its body is sent as it came. */
  readonly isWhole: boolean
  readonly signal: Signal
  readonly until: SharedDeadline
}

export type Fetch = (context: LookupContext, options: FetchOptions) => Awaitable<FetchResult>

export interface FetchParts extends Omit<BatchesParts, 'cut' | 'dispatch'> {
  /** Within the limits of each call's tenant. */
  readonly dispatch: Dispatch
  /** For requests whose callers were admitted already. */
  readonly unlimited: Dispatch
  readonly upstream: Pick<UpstreamAdmission, 'admit'>
  /** The call's own headers, as they go to a backend. */
  readonly outgoing: (call: Call) => RawPairs
  readonly splitting: Pick<Splitting, 'violated'>
}

export function createFetch(parts: FetchParts): Fetch {
  const { dispatch, unlimited, upstream, outgoing, clock } = parts
  const cutRows = createCut(parts)
  const batches = new Batches({ ...parts, dispatch: unlimited, cut: cutRows })

  return function fetch(context, options) {
    // A batch is sent in the form of one of its callers, so it would not show whether the server takes this call's form.
    if (!context.rows || !context.isShown || !batches.isBatched(context)) return unbatched(context, options)
    const { rows } = options
    const tokens = limitsTokens(context.call)
      ? meteredRows<BatchResult>(context.matched, rows, answersIn)
      : undefined
    const send = () => batches.fetch(context, options)
    return after(upstream.admit(context.call, { rows: rows.length, send, tokens }), (batched) =>
      'refused' in batched ? { unstored: batched.refused.reply } : { answers: batched.answers },
    )
  }

  function unbatched(context: LookupContext, options: FetchOptions): Awaitable<FetchResult> {
    const { rows, isWhole } = options
    if (rows.length === 1) return inOne(context, options)
    const most = mostRows(context, isWhole, parts.maxBatch(context.matched))
    if (rows.length <= most) return inOne(context, options)
    return inParts(rows, most, (part) => inOne(context, { ...options, rows: part, isWhole: false }))
  }

  function inOne(
    context: LookupContext,
    { rows, isWhole, signal, until }: FetchOptions,
  ): Awaitable<FetchResult> {
    const { call, matched, plan, body } = context
    const joined = isWhole && !plan.asksForLess ? undefined : matched.protocol.rows?.join(plan, rows, body)
    const response = dispatch(call, matched, {
      body: joined?.body ?? sentBody(context),
      contentLength: undefined,
      // Without Accept-Encoding: an encoded answer could not be shared with callers who do not accept that coding.
      headers: requestHeaders(outgoing(call), joined?.headers ?? NONE),
      key: rows[0]?.digest,
      signal,
      until,
      collectBytes: collectable((matched.route.cache as RouteCache).maxEntryBytes, rows.length),
      rows: rows.length,
    })
    return after(response, (answered) => resultOf(context, answered, rows))
  }

  function resultOf(context: LookupContext, response: UpstreamResponse, rows: readonly Row[]): FetchResult {
    if (isRunning(context, response))
      return { running: response, isShared: mayKeepHead(context.matched, response, clock.wall()) }
    if (!context.rows)
      return mayKeep(context, response, clock.wall())
        ? { answers: [{ answer: undefined, response, costMs: response.ms }], leaderReply: response.reply }
        : { unstored: response.reply }
    const answers = cutRows(context, response, rows)
    const costMs = response.ms / rows.length
    return answers
      ? { answers: answers.map((answer) => ({ answer, response, costMs })), leaderReply: response.reply }
      : { unstored: response.reply }
  }
}

function answersIn(batched: BatchResult): readonly RowAnswer[] {
  return 'refused' in batched ? [] : batched.answers.map(({ answer }) => answer)
}

/** Cuts replies into rows. */
function createCut({ splitting, clock }: Pick<FetchParts, 'splitting' | 'clock'>): BatchesParts['cut'] {
  // One answer for each of the rows; undefined if the reply must not be stored or does not fit its rows.
  return (of, response, rows) => {
    const count = rows.length
    const { matched, plan } = of
    const { protocol } = matched
    const { reply } = response
    const { body } = reply
    if (!(body instanceof Uint8Array) || unstorable(reply, policyOf(matched, count)) !== undefined)
      return undefined
    if (isTooOld(matched, response, clock.wall())) return undefined
    const answers = protocol.rows?.cut(reply, body, count, { common: plan.common, rows })
    if (answers?.length === count) return answers
    // A reply that is no answer at all, such as an error under 200, does not show that the model cannot be split.
    if (protocol.storable?.(reply, body, plan, false) !== false)
      splitting.violated(of, `asked for ${count} rows, and the answer does not have them`)
    return undefined
  }
}

const NONE: RawPairs = []

/**
 * How many rows a request may have. In a dialect without a bound of its own a server takes what a caller sends it, and more requests
 * would only be more calls to the scaler. Elsewhere a call goes as it came, unless the backends have declared that they take fewer.
 */
function mostRows({ matched, rows }: LookupContext, isWhole: boolean, declared: number | undefined): number {
  const most = matched.protocol.rows?.most
  if (!rows || most === undefined) return Number.POSITIVE_INFINITY
  return declared ?? (isWhole ? Number.POSITIVE_INFINITY : most)
}

/** The whole call as it goes upstream: a dialect may ask for more events than the caller did. */
function sentBody({ matched, plan, body }: LookupContext): WholeBody {
  const { generation } = matched.protocol
  const isStreamed = plan.generation?.isStreamed === true && body instanceof Uint8Array
  return generation && isStreamed ? generation.request(plan, body) : body
}

/** Whether the caller wants events, and they have begun to arrive. */
function isRunning({ matched, plan }: LookupContext, { reply }: UpstreamResponse): boolean {
  const { protocol } = matched
  if (plan.generation?.isStreamed !== true || !protocol.generation) return false
  if (reply.body instanceof Uint8Array || !isStreamed(reply, protocol)) return false
  // Where events end cannot be seen in a stream that is encoded.
  if (isEncoded(reply)) return false
  return verdictOf(protocol, reply).kind === 'ok'
}

function isEncoded({ headers }: Reply): boolean {
  return headerAll(headers, 'content-encoding').some((coding) => coding.toLowerCase() !== 'identity')
}

function mayKeepHead(matched: Matched, response: UpstreamResponse, at: number): boolean {
  const policy = { ...policyOf(matched, 1), keepsEvents: true }
  return !isTooOld(matched, response, at) && unkeepable(response.reply, policy) === undefined
}

function policyOf({ route, protocol }: Matched, count: number): StorePolicy {
  const { maxEntryBytes, vary = [], heedBackend } = route.cache as RouteCache
  return { protocol, maxEntryBytes: maxEntryBytes * count, vary, heedBackend }
}

/** Whether the response was stale on arrival, by its own directives. `at`: wall milliseconds. */
function isTooOld({ route, protocol }: Matched, { reply, ms }: UpstreamResponse, at: number): boolean {
  return (
    (route.cache as RouteCache).heedBackend &&
    !isFresh(responseDirectivesOf(reply, protocol), { at, delayMs: ms })
  )
}

/** Whether the reply to a whole call may be stored; a refusal may only if the route has a negative TTL. */
function mayKeep({ matched, plan }: LookupContext, response: UpstreamResponse, at: number): boolean {
  const { reply } = response
  const { protocol, route } = matched
  const { negativeTtl, rows } = route.cache as RouteCache
  const { body } = reply
  if (!(body instanceof Uint8Array) || isTooOld(matched, response, at)) return false
  const { kind, about } = verdictOf(protocol, reply)
  // A refusal that is about the input would be repeated for the same input.
  const negative = negativeTtl > 0 && kind === 'refused' && about === 'input'
  if (!negative && kind !== 'ok') return false
  const keepsEvents = plan.generation?.isStreamed === true
  if (unkeepable(reply, { ...policyOf(matched, 1), keepsEvents }) !== undefined) return false
  // A body that the dialect does not check, and that has neither a length nor a last chunk, may have been cut off.
  if (negative || !protocol.storable) return !isOpenEnded(reply)
  return protocol.storable(reply, body, plan, rows !== 'never')
}
