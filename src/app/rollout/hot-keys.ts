/** Warming for rollouts: the calls of a route's sample are asked of the new pool, as an operator's warming asks them. */
import type { RolloutPorts } from '../../control/rollout/rollouts.ts'
import type { Warmth } from '../../control/rollout/state.ts'
import type { Warmings } from '../../control/warm/warmings.ts'

export interface HotKeysParts {
  readonly warmings: Pick<Warmings, 'start' | 'find' | 'stop'>
  /** Calls a second by the settings of the route; undefined: it keeps no sample. */
  readonly rateOf: (route: string) => number | undefined
}

/** A sample does not know what it has not seen: it never stands for more of the hits than this. */
const MOST_COVERED = 0.9

export function hotKeys({ warmings, rateOf }: HotKeysParts): NonNullable<RolloutPorts['warming']> {
  const running = new Map<
    string,
    { readonly pool: string; readonly id: string | undefined; readonly why: string }
  >()
  const stop = (route: string) => {
    const { id } = running.get(route) ?? {}
    if (id !== undefined) warmings.stop(id)
    running.delete(route)
  }
  return {
    start(route, pool) {
      if (running.get(route)?.pool === pool) return
      stop(route)
      running.set(route, { pool, ...begun(route, pool) })
    },
    stop,
    status(route, pool): Warmth | undefined {
      const perSecond = rateOf(route)
      if (perSecond === undefined) return undefined
      const known = running.get(route)
      if (known?.pool !== pool)
        return { isDone: false, coverage: 0, perSecond, sentence: 'it is to be warmed' }
      const found = known.id === undefined ? undefined : warmings.find(known.id)
      if (!found) return { isDone: true, coverage: 0, perSecond, sentence: known.why }
      const { weight, warm } = found.progress
      const coverage = weight > 0 ? MOST_COVERED * (warm / weight) : 0
      return { isDone: found.state !== 'running', coverage, perSecond, sentence: `hot keys: ${found.said}` }
    },
  }

  function begun(route: string, pool: string) {
    try {
      const { id } = warmings.start({ route, pool, source: 'sample', rate: rateOf(route) })
      return { id, why: 'its warming is not known any more' }
    } catch (error) {
      return {
        id: undefined,
        why: `it could not be warmed: ${error instanceof Error ? error.message : String(error)}`,
      }
    }
  }
}
