/** The rules by which a backend is an outlier: statistics as pure functions of counts. */

/** A backend's calls in the window. */
export interface Record {
  readonly good: number
  readonly calls: number
}

/** With fewer busy backends than this, a rule on standard deviations cannot work (see `spreadThreshold`). */
export const SPREAD_FROM = 8

/**
 * Leave-one-out, for small pools: this backend's success rate is below that of all others together, by more than three
 * standard errors of the difference and more than 15 points. Works from two backends on.
 */
export function isBelowOthers(own: Record, others: Record): boolean {
  if (own.calls < 20 || others.calls === 0) return false
  const ownRate = own.good / own.calls
  const othersRate = others.good / others.calls
  const pooled = (own.good + others.good) / (own.calls + others.calls)
  const error = Math.sqrt(pooled * (1 - pooled) * (1 / own.calls + 1 / others.calls))
  return ownRate < othersRate - Math.max(0.15, 3 * error)
}

/**
 * The success rate below which a backend of a large pool is an outlier: mean − 1.9 σ, as Envoy, but at least five points
 * below the mean, as σ is nearly nothing where nearly all succeed. The largest possible z-score among n is √(n − 1), so
 * below five backends this can never fire.
 */
export function spreadThreshold(rates: readonly number[]): number {
  const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length
  const variance = rates.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / rates.length
  return mean - Math.max(1.9 * Math.sqrt(variance), 0.05)
}

/** How many of `members` may be ejected at the same time; one always may. */
export function mostEjected(members: number, maxPercent: number): number {
  return Math.max(1, Math.floor((maxPercent / 100) * members))
}

/** How long the `times`-th ejection lasts, before jitter. */
export function ejectionMs(times: number, options: { baseMs: number; maxMs: number }): number {
  return Math.min(options.baseMs * times, options.maxMs)
}
