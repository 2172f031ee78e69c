/** Checks of the pools that routes name. They read the input before the schema does. */
import { type Issue, suggest } from './messages.ts'
import { type Path, property } from './walk.ts'

const problem = (path: Path, message: string, fix?: string): Issue => ({
  path,
  message,
  at: 'value',
  ...(fix === undefined ? {} : { fix }),
})

/** `known`: the names of all pools. */
export function trafficIssues(input: unknown, known: readonly string[]): Issue[] {
  // Problems of the pools themselves are reported already.
  if (known.length === 0 && Array.isArray(property(input, 'pools'))) return []
  const routes = property(input, 'routes')
  return (Array.isArray(routes) ? routes : []).flatMap((route: unknown, i) => [
    ...mainPool(route, i, known),
    ...splitPools(route, i, known),
    ...fallbackPools(route, i, known),
    ...mirrorPool(route, i, known),
    ...warmOfNothing(route, i),
  ])
}

function mainPool(route: unknown, i: number, known: readonly string[]): Issue[] {
  const path = ['routes', i, 'pool']
  const name = property(route, 'pool')
  const isSplit = property(route, 'split') !== undefined
  if (isSplit) return name === undefined ? [] : [problem(path, 'the route has a split already', ONE_OF)]
  if (property(route, 'sticky') !== undefined)
    return [problem(['routes', i, 'sticky'], 'the route has no split', 'leave it out, or write split')]
  if (name === undefined && known.length === 1) return []
  return name === undefined ? [problem(path, 'is required', choices(known))] : unknownPool(path, name, known)
}

const ONE_OF = 'name its pools in split, and leave pool out'

function splitPools(route: unknown, i: number, known: readonly string[]): Issue[] {
  const seen = new Set<unknown>()
  return list(property(route, 'split')).flatMap((entry, at) => {
    const path = ['routes', i, 'split', at, 'pool']
    const name = property(entry, 'pool')
    if (name !== undefined && seen.has(name)) return [problem(path, 'this pool is named already')]
    seen.add(name)
    return unknownPool(path, name, known)
  })
}

function fallbackPools(route: unknown, i: number, known: readonly string[]): Issue[] {
  const split = list(property(route, 'split')).map((entry) => property(entry, 'pool'))
  const own = split.length > 0 ? (split.length === 1 ? split[0] : undefined) : property(route, 'pool')
  const seen = new Set<unknown>()
  return list(property(route, 'fallback')).flatMap((name, at) => {
    const path = ['routes', i, 'fallback', at]
    if (name !== undefined && name === own)
      return [problem(path, 'this is the pool that it would stand in for', 'name another pool')]
    if (seen.has(name)) return [problem(path, 'this pool is named already')]
    seen.add(name)
    return unknownPool(path, name, known)
  })
}

/** A pool of a split may get copies of what the others answer; a route's only pool may not. */
function mirrorPool(route: unknown, i: number, known: readonly string[]): Issue[] {
  const mirror = property(route, 'mirror')
  const name = property(mirror, 'pool')
  const path = ['routes', i, 'mirror', 'pool']
  const split = list(property(route, 'split')).map((entry) => property(entry, 'pool'))
  const main = property(route, 'pool') ?? (known.length === 1 ? known[0] : undefined)
  const own = split.length > 0 ? (split.length === 1 ? split[0] : undefined) : main
  if (name !== undefined && name === own)
    return [problem(path, 'this pool answers the calls already', 'name another pool')]
  if (property(route, 'pure') === false && mirror !== undefined)
    return [
      problem(
        ['routes', i, 'mirror'],
        'no copy would be sent: with "pure: false" no call may be sent twice',
        'leave out one of them',
      ),
    ]
  return unknownPool(path, name, known)
}

/** A sample of calls whose answers are not kept. */
function warmOfNothing(route: unknown, i: number): Issue[] {
  if (property(route, 'warm') === undefined) return []
  const path = ['routes', i, 'warm']
  if (property(route, 'protocol') === 'opaque')
    return [problem(path, 'calls on opaque routes are not kept for warming', 'leave it out')]
  const cache = property(route, 'cache')
  const isCached = cache !== undefined && property(cache, 'enabled') !== false
  return isCached ? [] : [problem(path, 'the route does not cache', 'give it a cache, or leave warm out')]
}

function unknownPool(path: Path, name: unknown, known: readonly string[]): Issue[] {
  if (typeof name !== 'string' || known.includes(name)) return []
  return [problem(path, 'there is no such pool', suggest(name, known).fix ?? choices(known))]
}

function choices(known: readonly string[]): string {
  return known.length === 0 ? 'there are no pools' : `pools: ${known.join(', ')}`
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
