/** What became of copies of calls since the start, over all threads and reloads: for the admin API, rollouts and the metrics. */
import {
  addMirrorTotals,
  MIRROR_SECONDS,
  type MirrorTotals,
  type MutableMirrorTotals,
  noMirrorTotals,
} from '../core/mirror.ts'
import type { Metrics, Sample } from '../obs/metrics.ts'

export class AllMirrorTotals {
  readonly #totals = new Map<string, Map<string, MutableMirrorTotals>>()

  add(report: readonly MirrorTotals[]): this {
    for (const counts of report) addMirrorTotals(this.#of(counts.route, counts.pool), counts)
    return this
  }

  list(): readonly MirrorTotals[] {
    return [...this.#totals.values()].flatMap((pools) => [...pools.values()])
  }

  /** Undefined: nothing of the route was copied to the pool. */
  one(route: string, pool: string): MirrorTotals | undefined {
    return this.#totals.get(route)?.get(pool)
  }

  /** Registers the metrics. */
  measure(metrics: Pick<Metrics, 'counter' | 'histogram'>): void {
    const of = (part: (counts: MirrorTotals) => number) => () =>
      this.list().map((counts) => ({ labels: labelsOf(counts), value: part(counts) }))
    metrics.counter(
      'infergate_mirror_sent_total',
      of(({ sent }) => sent),
    )
    metrics.counter(
      'infergate_mirror_failed_total',
      of(({ failed }) => failed),
    )
    metrics.counter('infergate_mirror_dropped_total', () =>
      this.list().flatMap((counts) => samplesOf(counts, 'reason', counts.dropped)),
    )
    metrics.counter('infergate_mirror_compared_total', () =>
      this.list().flatMap((counts) => {
        const { equal, different, uncompared } = counts
        return samplesOf(counts, 'result', { equal, different, uncompared })
      }),
    )
    metrics.histogram('infergate_mirror_seconds', () =>
      this.list().flatMap((counts) => [timesOf(counts, 'mirror'), timesOf(counts, 'primary')]),
    )
  }

  #of(route: string, pool: string): MutableMirrorTotals {
    const pools = this.#totals.get(route) ?? new Map<string, MutableMirrorTotals>()
    this.#totals.set(route, pools)
    const counts = pools.get(pool) ?? noMirrorTotals(route, pool)
    pools.set(pool, counts)
    return counts
  }
}

function labelsOf({ route, pool }: MirrorTotals) {
  return { route, pool }
}

function samplesOf(
  counts: MirrorTotals,
  label: string,
  values: Readonly<Record<string, number>>,
): readonly Sample[] {
  return Object.entries(values).map(([name, value]) => ({
    labels: { ...labelsOf(counts), [label]: name },
    value,
  }))
}

function timesOf(counts: MirrorTotals, of: 'mirror' | 'primary') {
  const { buckets, seconds } = counts[of]
  return {
    labels: { ...labelsOf(counts), of },
    bounds: MIRROR_SECONDS,
    buckets: Float64Array.from(buckets),
    seconds: Float64Array.of(seconds),
  }
}
