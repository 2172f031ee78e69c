/** Finds the settings that a reload cannot change, because they are read once at the start. */
import { isDeepStrictEqual } from 'node:util'
import { type Settings, schema } from './schema.ts'
import { fieldsOf, isFixed, type Path, printPath, type Schema, valueAt } from './walk.ts'

/** The paths that differ and need a restart, such as `server.listen`; empty: all of `next` can go live. */
export function restartNeeded(old: Settings, next: Settings): string[] {
  return FIXED.filter((path) => !isDeepStrictEqual(valueAt(old, path), valueAt(next, path))).map(printPath)
}

function fixedPaths(schema: Schema, path: Path): Path[] {
  if (isFixed(schema)) return [path]
  return Object.entries(fieldsOf(schema, undefined) ?? {}).flatMap(([key, field]) =>
    fixedPaths(field, [...path, key]),
  )
}

const FIXED = fixedPaths(schema, [])
