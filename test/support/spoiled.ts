/** Documents in which something is not what it should be: what a peer may send that is broken, or means harm. */
import fc from 'fast-check'

/** What JSON can hold where something else was meant. */
export const junk: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    1e308,
    65_536,
    '',
    '\r\nx: y',
    '\0',
    '€',
    '\ud800',
    '[::1',
    'a b',
    [],
    [null],
    {},
    { toString: 1 },
    { length: -1 },
    { toString: null, valueOf: null },
  ),
  fc.jsonValue({ maxDepth: 2 }),
  fc.string({ unit: 'binary', maxLength: 300 }),
)

/** The document with one or two of its parts replaced by junk, or junk in its place. */
export function spoiled(document: unknown): fc.Arbitrary<unknown> {
  const paths = pathsOf(document)
  const changes = fc.array(fc.tuple(fc.constantFrom(...paths), junk), { minLength: 1, maxLength: 2 })
  return changes.map((all) => {
    let out = structuredClone(document)
    for (const [path, value] of all) out = replaced(out, path, value)
    return out
  })
}

type Path = readonly (string | number)[]

function pathsOf(value: unknown, at: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [at]
  const below = Object.entries(value).flatMap(([key, part]) => pathsOf(part, [...at, key]))
  return [at, ...below]
}

function replaced(value: unknown, [key, ...rest]: Path, by: unknown): unknown {
  // A copy: the next change may go into it, and the same object may come again.
  if (key === undefined) return structuredClone(by)
  // What was there may have been replaced before.
  if (typeof value !== 'object' || value === null) return value
  return Object.assign(value, { [key]: replaced((value as Record<string, unknown>)[key], rest, by) })
}
