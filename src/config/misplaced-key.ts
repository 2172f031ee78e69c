/** Finds where an unknown key would be valid, for messages: a key in the wrong block is often spelled correctly. */
import * as z from 'zod'
import { core, fieldsOf, type Path, printPath, type Schema, schemaAt, valueAt } from './walk.ts'

interface MisplacedKey {
  readonly input: unknown
  /** The path of the mapping that has the key. */
  readonly path: Path
  readonly key: string
}

/** Depth of the search. */
const DEPTH = 3
/** More places than this are not listed: they would not help. */
const MAX_PLACES = 3

/**
 * Hints on where to move the key. `below`: into a mapping of this one; `above`: into one around it, or into a mapping
 * of that.
 */
export function findMisplaced(
  schema: Schema,
  { input, path, key }: MisplacedKey,
): { readonly below?: string; readonly above?: string } {
  const from = (around: Path): string | undefined => {
    const here = schemaAt(schema, around, input)
    const paths = here ? placesOf(here, key, valueAt(input, around)) : []
    return moveHint(
      paths.map((inner) => [printPath(around), ...inner].filter((part) => part !== '').join('.')),
    )
  }
  const below = from(path)
  if (below !== undefined) return { below }
  for (let depth = path.length - 1; depth > 0; depth--) {
    const above = from(path.slice(0, depth))
    if (above !== undefined) return { above }
  }
  // Other blocks of the file are not searched: the `host` of a tier is not that of a route.
  const isTop = Object.hasOwn(fieldsOf(schema, input) ?? {}, key)
  return path.length > 0 && isTop ? { above: moveHint(['']) as string } : {}
}

function moveHint(paths: readonly string[]): string | undefined {
  if (paths.length === 0 || paths.length > MAX_PLACES) return undefined
  return paths[0] === '' ? 'it belongs at the top of the file' : `it belongs under ${paths.join(' or ')}`
}

/** The nearest mappings with such a key; an empty path is this one. */
function placesOf(schema: Schema, key: string, value: unknown): string[][] {
  let level: { readonly path: string[]; readonly fields: Readonly<Record<string, Schema>> }[] = [
    { path: [], fields: fieldsOf(schema, value) ?? {} },
  ]
  for (let depth = 0; depth <= DEPTH; depth++) {
    const found = level.filter(({ fields }) => Object.hasOwn(fields, key))
    if (found.length > 0) return found.map(({ path }) => path)
    level = level.flatMap(({ path, fields }) =>
      Object.entries(fields).flatMap(([name, field]) => {
        const [inner, suffix] = elementOf(field)
        const below = fieldsOf(inner, undefined)
        return below ? [{ path: [...path, `${name}${suffix}`], fields: below }] : []
      }),
    )
  }
  return []
}

/** The schema of a list's elements or a record's values. */
function elementOf(field: Schema): [inner: Schema, suffix: string] {
  const inner = core(field)
  if (inner instanceof z.ZodArray) return [inner.def.element, '[]']
  return inner instanceof z.ZodRecord ? [inner.def.valueType, '.NAME'] : [inner, '']
}
