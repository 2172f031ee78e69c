/** What became of the calls that a route sent to a second pool as well, for metrics and for whoever decides on a rollout. Plain data. */

/** Why a copy was not sent. */
export type MirrorDrop =
  /** As many as may be are on their way. */
  | 'full'
  /** Copies on their way hold as many bytes as they may, or the body is too long. */
  | 'bytes'
  /** The body streams, and is too long to be kept. */
  | 'streamed'
  /** No backend of the pool has a place free. */
  | 'busy'
  /** The pool has no backend that could answer. */
  | 'no-backend'
  /** The last copies have failed; some are sent all the same, to find out when they no longer do. */
  | 'failing'
  /** The call itself was not answered. */
  | 'unanswered'

/** Upper bounds of the buckets of `MirrorLatency`, in seconds. */
export const MIRROR_SECONDS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
]

/** Times at the backend, without waits. */
export interface MirrorLatency {
  readonly seconds: number
  readonly count: number
  /** How many are in each bucket; the last is above every bound. */
  readonly buckets: readonly number[]
}

export interface MirrorCounts {
  /** Copies that were sent; each ends as `answered` or as `failed`. */
  readonly sent: number
  readonly answered: number
  readonly failed: number
  readonly dropped: Readonly<Partial<Record<MirrorDrop, number>>>
  /** Of those that were answered, and compared. */
  readonly equal: number
  readonly different: number
  /** Answered, but not compared: streams, long answers, dialects without an order of their own. */
  readonly uncompared: number
  /** Of copies that were answered, and of the calls that they are copies of. */
  readonly mirror: MirrorLatency
  readonly primary: MirrorLatency
}

/** Of one route and pool; in a report since the last one, in totals since the start. */
export interface MirrorTotals extends MirrorCounts {
  readonly route: string
  readonly pool: string
}

/** The same while it is counted. */
export interface MutableMirrorTotals extends MirrorTotals {
  sent: number
  answered: number
  failed: number
  readonly dropped: Partial<Record<MirrorDrop, number>>
  equal: number
  different: number
  uncompared: number
  readonly mirror: MutableLatency
  readonly primary: MutableLatency
}

type MutableLatency = { -readonly [K in 'seconds' | 'count']: number } & { readonly buckets: number[] }

export function noMirrorTotals(route: string, pool: string): MutableMirrorTotals {
  const latency = () => ({ seconds: 0, count: 0, buckets: MIRROR_SECONDS.concat(0).map(() => 0) })
  return {
    route,
    pool,
    sent: 0,
    answered: 0,
    failed: 0,
    dropped: {},
    equal: 0,
    different: 0,
    uncompared: 0,
    mirror: latency(),
    primary: latency(),
  }
}

/** Counts a time of so many milliseconds. */
export function addLatency(to: MutableLatency, ms: number): void {
  const seconds = ms / 1000
  const bucket = MIRROR_SECONDS.findIndex((bound) => seconds <= bound)
  const at = bucket < 0 ? MIRROR_SECONDS.length : bucket
  to.seconds += seconds
  to.count++
  to.buckets[at] = (to.buckets[at] ?? 0) + 1
}

export function addMirrorTotals(to: MutableMirrorTotals, more: MirrorCounts): void {
  for (const name of ['sent', 'answered', 'failed', 'equal', 'different', 'uncompared'] as const)
    to[name] += more[name]
  for (const [reason, count] of Object.entries(more.dropped) as [MirrorDrop, number][])
    to.dropped[reason] = (to.dropped[reason] ?? 0) + count
  addTimes(to.mirror, more.mirror)
  addTimes(to.primary, more.primary)
}

function addTimes(to: MutableLatency, more: MirrorLatency): void {
  to.seconds += more.seconds
  to.count += more.count
  for (const [i, count] of more.buckets.entries()) to.buckets[i] = (to.buckets[i] ?? 0) + count
}
