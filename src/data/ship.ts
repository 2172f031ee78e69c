/**
 * Rows to a backend, and their answers back: in a request of the call's own, or, where the route batches, in one
 * with the rows of other callers. What comes back is an answer a row, fit to be kept, or the reply as it was.
 */
import type { Call, RawPairs } from '../core/call.ts'
import type { Reply } from '../core/reply.ts'
import type { Signal } from '../lib/cancel.ts'
import { after, type Coming } from '../lib/later.ts'
import type { Row, RowAnswer } from '../protocol/protocol.ts'
import { type BatchCall, Batches, type BatchesParts } from './batch/batches.ts'
import { collectable, unstorable } from './cache/storable.ts'
import type { RouteCache } from './ingress/routes.ts'
import type { Job } from './job.ts'
import { replaced } from './rows/ask.ts'
import type { Splitting } from './rows/splitting.ts'
import type { Delivered, Dispatch } from './shipment.ts'

/** One row's answer, or the whole call's, and who gave it. */
export interface Kept {
  readonly delivered: Delivered
  /** Undefined: the reply as a whole. */
  readonly answer: RowAnswer | undefined
}

export type Shipped = { readonly kept: readonly Kept[] } | { readonly unkept: Reply }

export interface Order {
  readonly rows: readonly Row[]
  /** The rows are the call as it came. */
  readonly isWhole: boolean
  readonly signal: Signal
}

export type Ship = (job: Job, order: Order) => Coming<Shipped>

export interface ShipParts extends Omit<BatchesParts, 'cut'> {
  readonly dispatch: Dispatch
  /** The call's own headers, as they go to a backend. */
  readonly outgoing: (call: Call) => RawPairs
  readonly splitting: Pick<Splitting, 'violated'>
}

export function createShip(parts: ShipParts): Ship {
  const { dispatch, outgoing, splitting } = parts
  const batches = new Batches({ ...parts, cut: cutRows })

  return function ship(job, order) {
    if (!job.rows || !batches.takes(job)) return alone(job, order)
    return after(batches.ship(job, order.rows, order.signal), (shipped) =>
      'refused' in shipped ? { unkept: shipped.refused.reply } : { kept: shipped.answers },
    )
  }

  function alone(job: Job, { rows, isWhole, signal }: Order): Coming<Shipped> {
    const { call, matched, plan, body } = job
    const joined = isWhole ? undefined : matched.protocol.rows?.join(plan, rows, body)
    const delivered = dispatch(call, matched, {
      body: joined?.body ?? body,
      contentLength: undefined,
      // Without Accept-Encoding: an encoded answer could not be shared with callers who do not take that coding.
      headers: replaced(outgoing(call), joined?.headers ?? NONE),
      key: rows[0]?.digest,
      signal,
      collectBytes: collectable((matched.route.cache as RouteCache).maxEntryBytes, rows.length),
    })
    return after(delivered, (answered) => judged(job, answered, rows.length))
  }

  function judged(job: Job, delivered: Delivered, count: number): Shipped {
    if (!job.rows) {
      const isKept = mayKeep(job, delivered.reply, 1, job)
      return isKept ? { kept: [{ answer: undefined, delivered }] } : { unkept: delivered.reply }
    }
    const answers = cutRows(job, delivered, count)
    return answers ? { kept: answers.map((answer) => ({ answer, delivered })) } : { unkept: delivered.reply }
  }

  /** The reply's answers, one a row; undefined where it must not be kept or does not fit its rows. */
  function cutRows(of: BatchCall, { reply }: Delivered, count: number): readonly RowAnswer[] | undefined {
    const { protocol } = of.matched
    if (!mayKeep(of, reply, count)) return undefined
    const answers = protocol.rows?.cut(reply, reply.body as Uint8Array, count)
    if (answers?.length === count) return answers
    splitting.violated(of.matched, `asked for ${count} rows, and the answer does not have them`)
    return undefined
  }
}

const NONE: RawPairs = []

/** Whether a reply may be kept; a refusal only as the answer to a `whole` call, where the route remembers refusals. */
function mayKeep({ matched, plan }: BatchCall, reply: Reply, count: number, whole?: Job): boolean {
  const { protocol, route } = matched
  const { negativeTtl, maxEntryBytes, vary } = route.cache as RouteCache
  if (!(reply.body instanceof Uint8Array)) return false
  const negative = whole !== undefined && negativeTtl > 0 && NEGATIVE.has(reply.status)
  const policy = { maxEntryBytes: maxEntryBytes * count, vary, heedCacheControl: true }
  // A refusal is judged as if it had succeeded: the rest of the head must allow keeping it all the same.
  if (unstorable(negative ? { ...reply, status: 200 } : reply, policy) !== undefined) return false
  return negative || protocol.storable?.(reply, reply.body, plan) !== false
}

/** What says that the input is wrong, and would say so again. */
const NEGATIVE = new Set([400, 404, 413, 415, 422])
