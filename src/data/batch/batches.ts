/**
 * The batchers of the routes, one for each model, and the upstream requests that they send. Only a good answer that fits all
 * rows is shared. After any other answer each caller's rows are sent again alone, so that nobody gets a reply that was meant
 * for another caller.
 */

import type { Call, RawPairs, WholeBody } from '../../core/call.ts'
import type { Charge } from '../../core/tenant-share.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Plan, Row, RowAnswer } from '../../protocol/protocol.ts'
import { isDone, verdictOf } from '../../protocol/verdict.ts'
import { letGo } from '../backend/incoming.ts'
import { collectable } from '../decision/storable.ts'
import type { SharedDeadline } from '../flight/shared-deadline.ts'
import { audienceOf } from '../key/audience.ts'
import type { Matched, RouteBatch, RouteCache } from '../route/routes.ts'
import { requestHeaders } from '../rows/row-request.ts'
import type { Dispatch, UpstreamResponse } from '../upstream/upstream-call.ts'
import { type Batcher, createBatcher } from './batcher.ts'
import { batchGroup } from './group.ts'
import type { Batched, BatchShare } from './submission.ts'

/** The part of a `LookupContext` that batching needs. */
export interface BatchCall {
  readonly call: Call
  readonly matched: Matched
  readonly plan: Plan
  readonly body: WholeBody
}

/** Rows of one call, and until when a caller waits for them. */
export interface BatchRows {
  readonly rows: readonly Row[]
  readonly signal: Signal
  readonly until: SharedDeadline
}

/** One row's answer and the reply it was cut from. */
export interface BatchedRow {
  readonly answer: RowAnswer
  readonly response: UpstreamResponse
  /** Its share of the backend's milliseconds. */
  readonly costMs: number
  /** The form of the call that was sent for all. */
  readonly form: number
}

export interface BatchesParts {
  readonly dispatch: Dispatch
  readonly outgoing: (call: Call) => RawPairs
  /** Cuts the reply into rows; undefined if it must not be stored or does not fit them. */
  readonly cut: (
    of: BatchCall,
    response: UpstreamResponse,
    rows: readonly Row[],
  ) => readonly RowAnswer[] | undefined
  /** Whether all backends of a pool are at capacity. */
  readonly busy: (pool: string) => boolean
  /** The most rows in one request that all backends of a pool accept for the call's model, if they declare it. */
  readonly maxBatch: (of: Matched) => number | undefined
  /** The milliseconds a pool takes to answer, as a high quantile. */
  readonly serviceMs: (pool: string) => number
  readonly clock: Clock
}

/** `refused`: the backend's reply to this caller's rows, or to all rows if it has nothing to do with them. */
export type BatchResult = Batched<BatchedRow, UpstreamResponse>

type RouteBatcher = Batcher<BatchCall, Row, BatchedRow, UpstreamResponse>

export class Batches {
  readonly #parts: BatchesParts
  /** By the route's settings object: a reload makes new ones, and the old are collected after their last call. */
  readonly #batchers = new WeakMap<RouteBatch, Map<string, RouteBatcher>>()

  constructor(parts: BatchesParts) {
    this.#parts = parts
  }

  /** Whether rows of such a call are batched. */
  isBatched({ matched, plan }: BatchCall): boolean {
    return (
      matched.route.batch !== undefined && plan.batch !== undefined && matched.protocol.rows !== undefined
    )
  }

  /** Sends rows, batched with those of other calls; only if `isBatched`. Rejects as `dispatch` does. */
  fetch(of: BatchCall, { rows, signal, until }: BatchRows): Promise<BatchResult> {
    const { call, matched, plan } = of
    if (!matched.route.batch || !plan.batch) throw new Error('this call is not batched')
    const headers = this.#parts.outgoing(call)
    return this.#batcher(matched.route.batch, matched).submit({
      group: batchGroup({
        ...{
          route: matched.route.name,
          batch: plan.batch,
          audience: audienceOf(call, matched.route.cache?.scope),
          headers,
        },
        labels: call.identity?.policy?.backends,
      }),
      job: of,
      rows,
      payer: call.share,
      bytes: rows.reduce((sum, { wire }) => sum + wire.length, 0),
      get deadline() {
        return until.deadline
      },
      get isJoined() {
        return until.isJoined === true
      },
      get share() {
        return until.share
      },
      set onPromoted(promoted: (() => void) | undefined) {
        until.onPromoted = promoted
      },
      signal,
    })
  }

  #batcher(settings: RouteBatch, matched: Matched): RouteBatcher {
    const { clock, busy, maxBatch, serviceMs } = this.#parts
    const { pool } = matched.route
    const name = matched.target.model ?? ''
    const batchers = this.#batchers.get(settings) ?? new Map<string, RouteBatcher>()
    this.#batchers.set(settings, batchers)
    const known = batchers.get(name)
    if (known) return known
    const batcher: RouteBatcher = createBatcher({
      clock,
      maxRows: settings.maxRows,
      maxDelayMs: settings.maxDelay,
      maxBatch: () => maxBatch(matched),
      busy: () => busy(pool),
      serviceMs: () => serviceMs(pool),
      send: (shares, options) => this.#send(shares, options),
    })
    // Model names come from callers, so the number of batchers is bounded.
    if (batchers.size >= MAX_MODELS) batchers.delete(batchers.keys().next().value ?? name)
    batchers.set(name, batcher)
    return batcher
  }

  async #send(
    shares: readonly BatchShare<BatchCall, Row>[],
    until: SharedDeadline & { readonly signal: Signal; readonly charges: readonly Charge[] },
  ): Promise<BatchResult> {
    const { deadline, signal, charges } = until
    const lead = (shares[0] as BatchShare<BatchCall, Row>).job
    const rows = shares.flatMap((share) => share.rows)
    // A field of the call may describe its exact bytes (a digest), so a call that is sent alone goes out as it came.
    const joined = isWhole(lead, rows)
      ? { headers: NO_FIELDS, body: lead.body }
      : lead.matched.protocol.rows?.join(lead.plan, rows, lead.body)
    if (!joined) throw new Error('this dialect has no rows')
    const { maxEntryBytes } = lead.matched.route.cache as RouteCache
    // Id and address are no properties of the call's own, so they are not among those that are copied.
    const { id, peer } = lead.call
    const call = { ...lead.call, id, peer, deadline, signal }
    const response = await this.#parts.dispatch(call, lead.matched, {
      until,
      body: joined.body,
      contentLength: undefined,
      headers: requestHeaders(this.#parts.outgoing(lead.call), joined.headers),
      key: rows[0]?.digest,
      signal,
      collectBytes: collectable(maxEntryBytes, rows.length),
      rows: rows.length,
      charges,
    })
    const answers = this.#parts.cut(lead, response, rows)
    const { form = 0 } = lead.plan
    const costMs = response.ms / rows.length
    if (answers) return { answers: answers.map((answer) => ({ answer, response, costMs, form })) }
    const { body } = response.reply
    const verdict = verdictOf(lead.matched.protocol, response.reply)
    if (shares.length > 1) letGo(body)
    // An overloaded backend is not sent each caller's rows again: that would amplify the overload. A 500, though, is how many
    // servers report one bad row, so the rows are sent again separately.
    const isOfNoRow = !isDone(verdict) && verdict.retry !== 'once'
    return { refused: response, forAll: body instanceof Uint8Array && isOfNoRow }
  }
}

/** Whether the rows are all of the call, in its order. */
function isWhole({ plan }: BatchCall, rows: readonly Row[]): boolean {
  if (plan.asksForLess) return false
  const all = plan.rows ?? []
  return rows.length === all.length && rows.every((row, i) => row === all[i])
}

const NO_FIELDS: RawPairs = []
const MAX_MODELS = 1_024
