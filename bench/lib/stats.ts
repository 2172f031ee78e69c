/** What rounds come to: medians, since one round in five is often somebody else's, and ratios with their range. */

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  if (sorted.length % 2 === 1) return sorted[half] ?? Number.NaN
  return ((sorted[half - 1] ?? Number.NaN) + (sorted[half] ?? Number.NaN)) / 2
}

export function range(values: readonly number[]): readonly [low: number, high: number] {
  return [Math.min(...values), Math.max(...values)]
}

/** How one side stands to another, in each round: what struck the machine in a round struck both. */
export function paired(
  ours: readonly number[],
  theirs: readonly number[],
  how: (one: number, other: number) => number,
): number[] {
  return ours
    .slice(0, theirs.length)
    .map((one, round) => how(one, theirs[round] ?? Number.NaN))
    .filter((value) => Number.isFinite(value))
}

/** The value below which so large a share of the values lies; of none, NaN. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const at = Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))
  return sorted[at] ?? Number.NaN
}
