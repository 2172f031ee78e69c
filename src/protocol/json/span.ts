/** Places of values in a body, and how far their text is from the canonical one. */

/** A run of bytes, its end not included. */
export interface Stretch {
  readonly start: number
  readonly end: number
}

/** A value's place in the body. */
export interface Span extends Stretch {
  readonly spelling: Spelling
  /** A fingerprint of the brackets and commas: arrays of equal shape have equal ones. */
  readonly shape: number
}

export type Spelling = typeof CANONICAL | typeof SPACED | typeof OTHER
/** As it is hashed. */
export const CANONICAL = 0
/** Canonical once the white space between tokens is dropped. */
export const SPACED = 1
/** Strings or the order of members differ, too. */
export const OTHER = 2

/** Bytes order of two spans: negative, zero or positive. */
export function compareSpans(bytes: Uint8Array, a: Stretch, b: Stretch): number {
  const n = Math.min(a.end - a.start, b.end - b.start)
  for (let i = 0; i < n; i++) {
    const difference = (bytes[a.start + i] as number) - (bytes[b.start + i] as number)
    if (difference !== 0) return difference
  }
  return a.end - a.start - (b.end - b.start)
}
