/** Quantiles of a histogram with arbitrary bounds, as the one that /metrics has. */

/**
 * The q-quantile, interpolated inside its bucket; what is above every bound counts as the last of them. Undefined: nothing
 * was counted.
 * @param counts of each bucket, not cumulative; one more than there are bounds
 */
export function quantileIn(
  counts: readonly number[],
  bounds: readonly number[],
  q: number,
): number | undefined {
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total === 0) return undefined
  let rest = q * total
  for (const [at, count] of counts.entries()) {
    if (count > 0 && rest <= count) {
      const low = bounds[at - 1] ?? 0
      const high = bounds[at] ?? low
      return low + (high - low) * (rest / count)
    }
    rest -= count
  }
  return bounds.at(-1)
}
