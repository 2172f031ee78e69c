/**
 * Exponentially weighted averages over uneven intervals, as pure functions: the state is two numbers (value,
 * time of the last sample) that live wherever the caller wants, be it a column shared by threads.
 */

/** `value` after `elapsedMs` of decay toward `toward`; unchanged where no time passed or the clock stepped back. */
export function decayed(value: number, toward: number, elapsedMs: number, tauMs: number): number {
  if (!(elapsedMs > 0)) return value
  return toward + (value - toward) * Math.exp(-elapsedMs / tauMs)
}

/**
 * Peak EWMA (Finagle's, by way of C3): a sample above the average replaces it at once, one below lowers it slowly. A
 * slowdown is therefore seen with the first sample.
 */
export function peaked(value: number, sample: number, elapsedMs: number, tauMs: number): number {
  return sample > value ? sample : decayed(value, sample, elapsedMs, tauMs)
}
