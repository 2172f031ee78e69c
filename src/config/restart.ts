/** Finds the settings that a reload cannot change, because they are read once at the start. */
import { isDeepStrictEqual } from 'node:util'
import { type Settings, schema } from './schema.ts'
import { fieldsOf, type Path, printPath, restartOn, type Schema, valueAt } from './walk.ts'

/** The paths that differ and need a restart, such as `server.listen`; empty: all of `next` can go live. */
export function restartNeeded(old: Settings, next: Settings): string[] {
  return FIXED.filter(({ path, on }) => {
    const [before, after] = [valueAt(old, path), valueAt(next, path)]
    return on === 'value'
      ? !isDeepStrictEqual(before, after)
      : (before === undefined) !== (after === undefined)
  }).map(({ path }) => printPath(path))
}

/** A setting that is read at the start only, or of which only the presence is. */
export interface FixedPath {
  readonly path: Path
  readonly on: 'value' | 'presence'
}

function fixedPaths(schema: Schema, path: Path): FixedPath[] {
  const on = restartOn(schema)
  if (on !== undefined) return [{ path, on }]
  return Object.entries(fieldsOf(schema, undefined) ?? {}).flatMap(([key, field]) =>
    fixedPaths(field, [...path, key]),
  )
}

export const FIXED: readonly FixedPath[] = fixedPaths(schema, [])
