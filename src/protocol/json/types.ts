/**
 * Computes which JSON types a value is made of, as a number. Servers read a batch as one array with one type for all rows: beside
 * a text numbers become texts, beside a fraction integers become floats. So an answer may depend on the types of the other rows.
 */

const INTEGER = 1
/** An integer with more digits than a 64-bit integer surely holds. */
export const LONG = 2
export const FRACTION = 4
const TEXT = 8
const BOOLEAN = 16
const NULL = 32

export const INTEGER_DIGITS = 18

/** By the first byte of a value that is no array and no object. */
export const TYPES = new Uint8Array(256).fill(INTEGER)
TYPES[0x22] = TEXT
for (const letter of 'tf') TYPES[letter.charCodeAt(0)] = BOOLEAN
TYPES['n'.charCodeAt(0)] = NULL
// Of `NaN` and `Infinity`.
for (const letter of 'NI') TYPES[letter.charCodeAt(0)] = FRACTION

/** The types of the numbers walked over, besides integers; one shared object, since returning two results costs more than the walk. */
export const found = { types: 0 }

/**
 * `before`, of the members before, with the set of types of one more and what was found of its numbers. An array has one type, and
 * members of objects each their own: so arrays are sets, in which a fraction makes floats of the integers, and objects lists of them.
 */
export function joinTypes(before: number, types: number): number {
  const all = types | found.types
  found.types = 0
  return (Math.imul(before, 61) + (all & FRACTION ? all & ~(INTEGER | LONG) : all)) | 0
}
