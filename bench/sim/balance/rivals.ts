/**
 * Rules of other systems, to be compared with in simulation: nothing of this runs in the gateway.
 */

/** Envoy's gradient controller: the limit after a window with this sample, given the latency without load. */
export function envoyGradient(
  limit: number,
  { minRttMs, sampleMs }: { minRttMs: number; sampleMs: number },
): number {
  const gradient = Math.min(2, Math.max(0.5, (minRttMs * 1.25) / sampleMs))
  return limit * gradient + Math.sqrt(limit * gradient)
}

/** The queue that TCP Vegas reads from the latency: calls beyond what the latency without load explains. */
export function vegasQueue(
  limit: number,
  { minRttMs, sampleMs }: { minRttMs: number; sampleMs: number },
): number {
  // 50 · (1 − 100 / 125) is 10.000000000000002 in binary.
  return Math.max(0, Math.ceil(limit * (1 - minRttMs / sampleMs) - 1e-9))
}

/** The part of calls Envoy's admission control refuses, given the successes among the calls of its window. */
export function envoyAdmission(
  calls: number,
  successes: number,
  options: { threshold: number; aggression: number },
): number {
  return Math.max(0, (calls - successes / options.threshold) / (calls + 1)) ** (1 / options.aggression)
}

/** The part of calls a client throttles by itself ("Handling Overload", Site Reliability Engineering, 2016). */
export function clientThrottle(calls: number, accepted: number, factor: number): number {
  return Math.max(0, (calls - factor * accepted) / (calls + 1))
}
