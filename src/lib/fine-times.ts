/**
 * How long the answers of a pool took, in buckets narrow enough to tell "1.2 times as long" from "as long": the counts of workers, gateways
 * and seconds simply add up.
 */

/** Lower edge of the first bucket, milliseconds. */
const FIRST_MS = 0.05
/** Each bucket is 2^(1/16) = 4.4 % wider than the last. */
const PER_OCTAVE = 16

/** 0.05 ms to 28 minutes. */
export const TIMES_SIZE = 400

/** Counts by bucket, as pairs: bucket, count, bucket, count … Most buckets are empty. */
export type SparseTimes = readonly number[]

export function timeBucket(ms: number): number {
  if (!(ms > FIRST_MS)) return 0
  return Math.min(TIMES_SIZE - 1, Math.floor(Math.log2(ms / FIRST_MS) * PER_OCTAVE))
}

/** The upper edge of a bucket, milliseconds. */
export function bucketEndMs(bucket: number): number {
  return FIRST_MS * 2 ** ((bucket + 1) / PER_OCTAVE)
}

/** So many buckets further are at least `factor` times as long. */
export function bucketsIn(factor: number): number {
  return Math.ceil(Math.log2(factor) * PER_OCTAVE - 1e-9)
}

export function countOf(times: SparseTimes): number {
  let total = 0
  for (let i = 1; i < times.length; i += 2) total += times[i] ?? 0
  return total
}

/** How many were longer than the bucket. */
export function countAbove(times: SparseTimes, bucket: number): number {
  let total = 0
  for (let i = 0; i < times.length; i += 2) if ((times[i] ?? 0) > bucket) total += times[i + 1] ?? 0
  return total
}

export function addTimes(a: SparseTimes, b: SparseTimes): SparseTimes {
  const counts = new Map<number, number>()
  for (const times of [a, b])
    for (let i = 0; i < times.length; i += 2) {
      const bucket = times[i] ?? 0
      counts.set(bucket, (counts.get(bucket) ?? 0) + (times[i + 1] ?? 0))
    }
  return [...counts].sort(([one], [other]) => one - other).flat()
}

/** The bucket that the q-quantile is in; undefined: nothing was counted. */
export function quantileBucket(times: SparseTimes, q: number): number | undefined {
  let rest = q * countOf(times)
  if (rest <= 0) return undefined
  for (let i = 0; i < times.length; i += 2) {
    rest -= times[i + 1] ?? 0
    if (rest <= 1e-9) return times[i]
  }
  return times.at(-2)
}

/** Of counts by bucket. */
export function sparse(counts: ArrayLike<number>): SparseTimes {
  const times: number[] = []
  for (let bucket = 0; bucket < counts.length; bucket++) {
    const count = counts[bucket] ?? 0
    if (count > 0) times.push(bucket, count)
  }
  return times
}

/** What came to `before` since; counts that are lower have begun anew. */
export function timesSince(before: SparseTimes, now: SparseTimes): SparseTimes {
  const known = new Map<number, number>()
  for (let i = 0; i < before.length; i += 2) known.set(before[i] ?? 0, before[i + 1] ?? 0)
  const more: number[] = []
  for (let i = 0; i < now.length; i += 2) {
    const bucket = now[i] ?? 0
    const count = Math.max(0, (now[i + 1] ?? 0) - (known.get(bucket) ?? 0))
    if (count > 0) more.push(bucket, count)
  }
  return more
}
