/**
 * Compares two JSON answers to one call, row by row: members in any order, numbers within the tolerance, white space aside. The
 * rows are the elements of the arrays that stand at the top, in a member, or in a member of a member (`outputs` by name).
 */
import { textDifference } from '../agree.ts'
import { type Difference, Differences } from '../difference.ts'
import { Column, place } from './rows.ts'
import { Cursor } from './scan.ts'

export interface JsonComparison {
  /** Members at the top that differ from answer to answer, such as an id. */
  readonly ignored?: ReadonlySet<string>
  /** Left out: as texts. */
  readonly rows?: (a: Uint8Array, b: Uint8Array) => Difference | undefined
}

/** Pauses between rows. `a` and `b`: the bodies. */
export function* compareJson(
  a: Uint8Array,
  b: Uint8Array,
  { ignored, rows = textDifference }: JsonComparison = {},
): Generator<void, Difference | undefined> {
  if (Buffer.compare(a, b) === 0) return undefined
  const [left, right] = [partsOf(a, ignored), partsOf(b, ignored)]
  if (!left || !right) return textDifference(a, b)
  const found = new Differences()
  for (const name of new Set([...left.keys(), ...right.keys()])) {
    const [one, other] = [left.get(name), right.get(name)]
    if (!one || !other || typeof one !== typeof other) found.add(name, undefined, SHAPE)
    else yield* compareParts(name, [a, one], [b, other], { rows, found })
  }
  return found.found
}

const SHAPE: Difference = { what: 'shape' }

/** Rows, or any other value. */
type Part = Column | Uint8Array
type PartOf = readonly [body: Uint8Array, part: Part]

function* compareParts(
  name: string,
  [a, one]: PartOf,
  [b, other]: PartOf,
  { rows, found }: { readonly rows: NonNullable<JsonComparison['rows']>; readonly found: Differences },
): Generator<void, void> {
  if (one instanceof Column && other instanceof Column) {
    if (one.count !== other.count) return found.add(name, undefined, SHAPE)
    for (let row = 0; row < one.count; row++) {
      found.add(name, row, rows(elementOf(a, one, row), elementOf(b, other, row)))
      yield
    }
    return
  }
  const isOneKind = one instanceof Uint8Array && other instanceof Uint8Array
  found.add(name, undefined, isOneKind ? textDifference(one, other) : SHAPE)
}

function elementOf(body: Uint8Array, column: Column, row: number): Uint8Array {
  const { start, end } = column.at(row, place())
  return body.subarray(start, end)
}

const OPEN_ARRAY = 0x5b
const OPEN_OBJECT = 0x7b

/** The parts of a JSON text by name; undefined: it is neither an object nor a list. */
function partsOf(body: Uint8Array, ignored: ReadonlySet<string> | undefined): Map<string, Part> | undefined {
  const cursor = new Cursor(body)
  const parts = new Map<string, Part>()
  const readValue = (name: string): boolean => {
    const next = cursor.peek()
    if (next === OPEN_ARRAY) {
      const column = new Column(name)
      parts.set(name, column)
      return column.read(cursor)
    }
    const { pos } = cursor
    if (!cursor.skip()) return false
    parts.set(name, body.subarray(pos, cursor.pos))
    return true
  }
  const first = cursor.peek()
  const isRead =
    first === OPEN_ARRAY
      ? readValue('')
      : first === OPEN_OBJECT &&
        cursor.members((key) => {
          if (ignored?.has(key)) return cursor.skip()
          if (cursor.peek() !== OPEN_OBJECT) return readValue(key)
          return cursor.members((name) => readValue(`${key}.${name}`))
        })
  return isRead && cursor.finish() ? parts : undefined
}
