/** What gateways have seen of pools and routes since they told last, and the sum of it. */
import { addTimes, type SparseTimes } from '../../lib/fine-times.ts'
import type { Deeds, PoolDeed } from './judge.ts'

export interface RouteSeen {
  readonly calls: number
  /** Calls that went to a backend. */
  readonly misses: number
}

export interface Compared {
  readonly compared: number
  readonly different: number
}

/** Since the last time; by pool, by route, and by route and mirror pool (`mirrorName`). */
export interface Measures {
  readonly pools: Readonly<Record<string, PoolDeed>>
  readonly routes: Readonly<Record<string, RouteSeen>>
  readonly mirrors: Readonly<Record<string, Compared>>
}

export const NO_MEASURES: Measures = { pools: {}, routes: {}, mirrors: {} }

const NO_TIMES: SparseTimes = []
const NO_DEED: PoolDeed = { calls: 0, bad: 0, times: NO_TIMES }
const NO_ROUTE: RouteSeen = { calls: 0, misses: 0 }

export function mirrorName(route: string, pool: string): string {
  return `${route} ${pool}`
}

export function addMeasures(a: Measures, b: Measures): Measures {
  return {
    pools: merged(a.pools, b.pools, (one, other) => ({
      calls: one.calls + other.calls,
      bad: one.bad + other.bad,
      times: addTimes(one.times, other.times),
    })),
    routes: merged(a.routes, b.routes, (one, other) => ({
      calls: one.calls + other.calls,
      misses: one.misses + other.misses,
    })),
    mirrors: merged(a.mirrors, b.mirrors, (one, other) => ({
      compared: one.compared + other.compared,
      different: one.different + other.different,
    })),
  }
}

export function deedsOf(measures: Measures, of: { route: string; from: string; to: string }): Deeds {
  const mirror = measures.mirrors[mirrorName(of.route, of.to)]
  return {
    old: measures.pools[of.from] ?? NO_DEED,
    new: measures.pools[of.to] ?? NO_DEED,
    compared: mirror?.compared ?? 0,
    different: mirror?.different ?? 0,
  }
}

export function routeOf({ routes }: Measures, route: string): RouteSeen {
  return routes[route] ?? NO_ROUTE
}

function merged<T>(
  a: Readonly<Record<string, T>>,
  b: Readonly<Record<string, T>>,
  add: (one: T, other: T) => T,
): Record<string, T> {
  // Names such as "constructor" are names of pools like others.
  const all = new Map(Object.entries(a))
  for (const [name, more] of Object.entries(b)) {
    const known = all.get(name)
    all.set(name, known === undefined ? more : add(known, more))
  }
  return Object.fromEntries(all)
}
