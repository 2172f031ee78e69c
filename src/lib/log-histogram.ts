/**
 * Durations in buckets that grow by a fixed ratio: the counts of workers, gateways and ticks simply add up, and
 * a quantile read from the sum is off by a few per cent at most. Plain arrays, so that they can lie in shared memory.
 */

/** Lower edge of the first bucket, milliseconds; what is shorter is counted there. */
const FIRST_MS = 0.05
const PER_OCTAVE = 4

/** How many buckets a histogram has: 0.05 ms to 28 minutes, each 2^(1/4) = 19 % wider than the last. */
export const HISTOGRAM_SIZE = 100

/** The bucket a duration belongs to. */
export function bucketOf(ms: number): number {
  if (!(ms > FIRST_MS)) return 0
  return Math.min(HISTOGRAM_SIZE - 1, Math.floor(Math.log2(ms / FIRST_MS) * PER_OCTAVE))
}

/** The duration at `share` (0 to 1) of a bucket's width, milliseconds, on the logarithmic scale. */
export function bucketMs(bucket: number, share = 0.5): number {
  return FIRST_MS * 2 ** ((bucket + share) / PER_OCTAVE)
}

/** The q-quantile in milliseconds, interpolated inside its bucket; undefined when nothing was counted. */
export function quantileMs(counts: ArrayLike<number>, q: number): number | undefined {
  let total = 0
  for (let i = 0; i < counts.length; i++) total += counts[i] ?? 0
  if (total <= 0) return undefined
  let rest = q * total
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i] ?? 0
    if (count > 0 && rest <= count) return bucketMs(i, Math.max(0, rest) / count)
    rest -= count
  }
  return bucketMs(counts.length - 1, 1)
}
