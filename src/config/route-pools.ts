import type { RouteSettings } from './schema.ts'

/** The pools that calls of a route may go to. */
export function poolsOf({
  pool,
  split = [],
  fallback = [],
}: Pick<RouteSettings, 'pool' | 'split' | 'fallback'>): string[] {
  return [...(pool === undefined ? [] : [pool]), ...split.map((weighted) => weighted.pool), ...fallback]
}

/** The same, and the pool that gets copies of them. */
export function poolsNamedBy(route: RouteSettings): string[] {
  const { mirror } = route
  return [...new Set([...poolsOf(route), ...(mirror ? [mirror.pool] : [])])]
}
