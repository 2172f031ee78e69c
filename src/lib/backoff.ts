/**
 * Exponential backoff with jitter. The delay is drawn from the upper half of the interval, so that many clients do not
 * retry in step.
 */

export interface BackoffOptions {
  readonly baseMs: number
  readonly maxMs: number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

/** Milliseconds to wait after the `attempt`-th failure (from 0): between half and all of `base · 2^attempt`, capped. */
export function backoffMs(attempt: number, { baseMs, maxMs, random }: BackoffOptions): number {
  const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 30))
  return ceiling / 2 + (ceiling / 2) * random()
}
