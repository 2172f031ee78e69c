/**
 * Exponentially weighted averages over uneven intervals, as pure functions: the state is two numbers (value,
 * time of the last sample) that live wherever the caller wants, be it a column shared by threads.
 */

/** What is left of `value` after `elapsedMs` of decay toward `toward`. No time, or a clock that stepped back: all of it. */
export function decayed(value: number, toward: number, elapsedMs: number, tauMs: number): number {
  if (!(elapsedMs > 0)) return value
  return toward + (value - toward) * Math.exp(-elapsedMs / tauMs)
}

/**
 * Peak EWMA (Finagle's, by way of C3): a sample above the average becomes the average at once, one below pulls it
 * down slowly. So bad news is believed at the first sight.
 */
export function peaked(value: number, sample: number, elapsedMs: number, tauMs: number): number {
  return sample > value ? sample : decayed(value, sample, elapsedMs, tauMs)
}
