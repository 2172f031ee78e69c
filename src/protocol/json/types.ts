/**
 * Which JSON types a value is made of, as a number. Servers read a batch as one array, whose type is that of all rows together:
 * beside a text numbers become texts, beside a fraction integers become floats. So rows of other types are other company.
 */

export const INTEGER = 1
/** More digits than a 64-bit integer is sure to have room for. */
export const LONG = 2
export const FRACTION = 4
export const TEXT = 8
const BOOLEAN = 16
const NULL = 32

export const INTEGER_DIGITS = 18

/** Of `true`, `false`, `null`, `NaN` and `Infinity`, by their first letter. */
export function wordType(letter: number): number {
  if (letter === 0x6e) return NULL
  return letter === 0x74 || letter === 0x66 ? BOOLEAN : FRACTION
}

/**
 * `before`, of the members before, with the set of types of one more. An array has one type, and members of objects each their
 * own: so arrays are sets, in which a fraction makes floats of the integers, and objects lists of them.
 */
export function joinTypes(before: number, types: number): number {
  const read = types & FRACTION ? types & ~INTEGER : types
  return (Math.imul(before, 61) + read) | 0
}
