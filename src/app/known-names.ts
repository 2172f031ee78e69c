/**
 * The names that a purge may mean: those of the settings, of what backends declare, and of models that were called. Any
 * other name is probably a typing error, and a purge of it would succeed silently.
 */
import type { Settings } from '../config/schema.ts'
import type { PurgeSelection } from '../control/admin/bodies.ts'
import type { Registry } from '../control/registry/registry.ts'

export interface KnownNames {
  readonly model: ReadonlySet<string>
  readonly route: ReadonlySet<string>
  readonly tag: ReadonlySet<string>
}

/** @param called models that calls have named since the start. */
export function knownNames(
  { models, routes }: Settings,
  registry: Pick<Registry, 'views'>,
  called: Iterable<string>,
): KnownNames {
  const offered = registry.views().flatMap(({ backends }) => backends.flatMap((backend) => backend.models))
  const cached = [...routes, ...models].map(({ cache }) => cache)
  return {
    model: new Set([...models, ...offered].map(({ name }) => name).concat([...called])),
    route: new Set([...routes, ...models].map(({ name }) => name)),
    tag: new Set(cached.flatMap(({ tags }) => tags)),
  }
}

/** The names of a selection that are not known, as `model:NAME`, `route:NAME`, `tag:NAME`. */
export function unknownNamesIn({ model, route, tags = [] }: PurgeSelection, known: KnownNames): string[] {
  const given = [
    ...(model === undefined ? [] : [['model', model] as const]),
    ...(route === undefined ? [] : [['route', route] as const]),
    ...tags.map((tag) => ['tag', tag] as const),
  ]
  return given.flatMap(([kind, name]) => (known[kind].has(name) ? [] : [`${kind}:${name}`]))
}
