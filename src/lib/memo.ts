/**
 * Remembers the last result of a function, for arguments that are often the same several times in a row: a client sends
 * the same head many times, and the rows of one answer share their fields. There is one slot, compared by identity: a
 * hit allocates nothing, and a miss costs no more than the function itself.
 */

const EMPTY = Symbol('nothing was asked for yet')

/** Memoizes `compute`, of up to three arguments that are compared with `===`. An error is not remembered. */
export function lastOf<A, R>(compute: (a: A) => R): (a: A) => R
export function lastOf<A, B, R>(compute: (a: A, b: B) => R): (a: A, b: B) => R
export function lastOf<A, B, C, R>(compute: (a: A, b: B, c: C) => R): (a: A, b: B, c: C) => R
export function lastOf<R>(compute: (...args: unknown[]) => R): (a: unknown, b?: unknown, c?: unknown) => R {
  let lastA: unknown = EMPTY
  let lastB: unknown
  let lastC: unknown
  let result: R
  return (a, b, c) => {
    if (a === lastA && b === lastB && c === lastC) return result
    const computed = compute(a, b, c)
    lastA = a
    lastB = b
    lastC = c
    result = computed
    return computed
  }
}
