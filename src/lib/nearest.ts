/**
 * The known word a mistyped one probably meant, for "did you mean" in messages.
 */

/**
 * The candidate with the fewest edits from `word`, upper and lower case being equal; undefined where
 * nothing is near enough to be a typing error (more than a third of the word, at most three edits).
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const given = word.slice(0, 64).toLowerCase()
  let best: string | undefined
  let fewest = Math.min(3, Math.max(1, Math.floor(given.length / 3))) + 1
  for (const candidate of candidates) {
    const edits = distance(given, candidate.slice(0, 64).toLowerCase())
    if (edits < fewest) {
      best = candidate
      fewest = edits
    }
  }
  return best
}

/**
 * Damerau-Levenshtein distance in its optimal string alignment form: insertions, deletions, substitutions
 * and swaps of neighbours count one each (Damerau 1964; Boytsov 2011 for the restriction).
 */
export function distance(a: string, b: string): number {
  const width = b.length + 1
  let beforeLast = Array.from({ length: width }, () => 0)
  let last = Array.from({ length: width }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = Array.from({ length: width }, () => i)
    for (let j = 1; j < width; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, at(beforeLast, j - 2) + 1)
      }
      row[j] = cost
    }
    beforeLast = last
    last = row
  }
  return at(last, b.length)
}

const at = (row: readonly number[], index: number): number => row[index] as number
