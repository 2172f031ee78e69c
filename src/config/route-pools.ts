import type { RouteSettings } from './schema.ts'

/** The pools that calls of a route may go to. */
export function poolsOf({ pool, split = [] }: Pick<RouteSettings, 'pool' | 'split'>): string[] {
  return [...(pool === undefined ? [] : [pool]), ...split.map((weighted) => weighted.pool)]
}
