/**
 * Remembers the last result of a function, for arguments that come again at once more often than not: a client sends one
 * head many times over, and the rows of one answer share its fields. There is one slot, whose arguments are compared and
 * never looked up: what is found allocates nothing, and what is not costs no more than the function itself.
 */

const EMPTY = Symbol('nothing was asked for yet')

/** `compute` of up to three arguments, which are the same where `===` says so. What it throws is not remembered. */
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
