/**
 * What a miss costs, as five bits of a record's header: the logarithm to base 2 of the backend's microseconds. A bucket is an
 * octave wide, which is enough to tell a classification from a generation.
 */
export const MAX_COST = 31

/** Of an entry whose cost nobody has measured: 16 ms. */
const UNKNOWN = 14

/** `ms`: backend milliseconds; 0: unknown. */
export function missCost(ms: number): number {
  if (!(ms > 0)) return UNKNOWN
  return Math.max(0, Math.min(MAX_COST, Math.round(Math.log2(ms * 1000))))
}
