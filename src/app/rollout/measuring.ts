/** What was seen of pools, routes and mirrors since the last look, from the totals of the workers. */
import type { Compared, Measures, RouteSeen } from '../../control/rollout/measures.ts'
import { addMeasures, NO_MEASURES } from '../../control/rollout/measures.ts'
import { timesSince } from '../../lib/fine-times.ts'
import type { CallTotals } from '../../obs/call-counts.ts'

/** Outcomes of a call for which no backend was asked. Calls that the gateway refused itself say nothing of the cache. */
const ANSWERED: ReadonlySet<string> = new Set(['hit', 'collapsed', 'stale'])
const REFUSED = 'none'

export interface MeasuringParts {
  /** Calls of this thread, and of the other workers by number. */
  readonly own: () => CallTotals
  readonly others: () => Promise<ReadonlyMap<number, CallTotals>>
  /** Totals of compared answers, by `mirrorName`; left out: nothing is mirrored here. */
  readonly mirrors?: () => Readonly<Record<string, Compared>>
}

export class Measuring {
  readonly #parts: MeasuringParts
  #before = new Map<number, CallTotals>()
  #mirrored: Readonly<Record<string, Compared>> = {}

  constructor(parts: MeasuringParts) {
    this.#parts = parts
  }

  /** The first look, and a worker that was not there at the last one, give nothing. */
  async take(): Promise<Measures> {
    const { own, others, mirrors } = this.#parts
    const now = new Map([[0, own()], ...(await others())])
    const mirrored = mirrors?.() ?? {}
    let sum: Measures = { ...NO_MEASURES, mirrors: comparedSince(this.#mirrored, mirrored) }
    for (const [worker, totals] of now) {
      const before = this.#before.get(worker)
      if (before) sum = addMeasures(sum, since(before, totals))
    }
    this.#before = now
    this.#mirrored = mirrored
    return sum
  }
}

/** A worker that was started again has lower counts: what it has counted since then is new. */
function since(before: CallTotals, now: CallTotals): Measures {
  const known = new Map(before.pools.map((pool) => [pool.pool, pool]))
  const isAnew = now.pools.some(({ pool, calls }) => calls < (known.get(pool)?.calls ?? 0))
  const pools = now.pools.map(({ pool, calls, bad, times }) => {
    const was = isAnew ? undefined : known.get(pool)
    return [
      pool,
      {
        calls: calls - (was?.calls ?? 0),
        bad: bad - (was?.bad ?? 0),
        times: timesSince(was?.times ?? [], times),
      },
    ] as const
  })
  return {
    pools: Object.fromEntries(pools.filter(([, { calls, bad }]) => calls > 0 || bad > 0)),
    routes: routesSince(before, now),
    mirrors: {},
  }
}

function routesSince(before: CallTotals, now: CallTotals): Record<string, RouteSeen> {
  const was = routesOf(before)
  const seen = [...routesOf(now)].map(([route, { calls, misses }]) => {
    const known = was.get(route) ?? { calls: 0, misses: 0 }
    const start = calls < known.calls ? { calls: 0, misses: 0 } : known
    return [route, { calls: calls - start.calls, misses: Math.max(0, misses - start.misses) }] as const
  })
  return Object.fromEntries(seen.filter(([, { calls }]) => calls > 0))
}

function routesOf({ calls }: CallTotals): Map<string, RouteSeen> {
  const routes = new Map<string, RouteSeen>()
  for (const { labels, statuses } of calls) {
    if (labels.cache === REFUSED) continue
    const count = statuses.reduce((sum, each) => sum + each, 0)
    const known = routes.get(labels.route) ?? { calls: 0, misses: 0 }
    const misses = ANSWERED.has(labels.cache) ? 0 : count
    routes.set(labels.route, { calls: known.calls + count, misses: known.misses + misses })
  }
  return routes
}

function comparedSince(
  before: Readonly<Record<string, Compared>>,
  now: Readonly<Record<string, Compared>>,
): Record<string, Compared> {
  const was = new Map(Object.entries(before))
  return Object.fromEntries(
    Object.entries(now).map(([name, { compared, different }]) => {
      const known = was.get(name) ?? { compared: 0, different: 0 }
      return [
        name,
        {
          compared: Math.max(0, compared - known.compared),
          different: Math.max(0, different - known.different),
        },
      ]
    }),
  )
}
