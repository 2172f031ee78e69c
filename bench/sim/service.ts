/**
 * How long backends take: distributions, the cost of a batch, disturbance by neighbours, cold starts.
 *
 * Each part is a small function, and a simulated backend multiplies what it needs:
 * `draw() * slowdown(now) * warmUp(age)`.
 */
import { exponential, normal, type Random } from '../../src/lib/seeded-random.ts'

/** One service time in milliseconds. */
export type Draw = () => number

/** A factor on the service time, 1 = undisturbed. */
export type Factor = (ms: number) => number

export const deterministic =
  (ms: number): Draw =>
  () =>
    ms

export const exponentialService =
  (meanMs: number, random: Random): Draw =>
  () =>
    exponential(random, meanMs)

/** Lognormal by its mean and its squared coefficient of variation (variance over squared mean). */
export function lognormal(options: { meanMs: number; scv: number }, random: Random): Draw {
  const variance = Math.log(1 + options.scv)
  const location = Math.log(options.meanMs) - variance / 2
  const sigma = Math.sqrt(variance)
  return () => Math.exp(location + sigma * normal(random))
}

/** Mostly `fastMs`, with probability `share` `slowMs`: the shape of a long prompt or a garbage collection. */
export function bimodal(options: { fastMs: number; slowMs: number; share: number }, random: Random): Draw {
  return () => (random() < options.share ? options.slowMs : options.fastMs)
}

/** A batch of `rows` takes α + β·rows milliseconds: a fixed cost of the call and one a row. */
export function batchCurve(options: { alphaMs: number; betaMs: number }): (rows: number) => number {
  return (rows) => options.alphaMs + options.betaMs * rows
}

/**
 * A noisy neighbour: undisturbed for about `calmMs`, then `slowdown` times slower for about `slowMs`.
 * The state is a function of the virtual time asked about, which may only grow.
 */
export function antagonist(
  options: { calmMs: number; slowMs: number; slowdown: number },
  random: Random,
): Factor {
  let isSlow = false
  let switchAt = exponential(random, options.calmMs)
  return (now) => {
    while (now >= switchAt) {
      isSlow = !isSlow
      switchAt += exponential(random, isSlow ? options.slowMs : options.calmMs)
    }
    return isSlow ? options.slowdown : 1
  }
}

/** A backend just started is `factor` times slower, and warms up in a straight line over `warmUpMs` of age. */
export function coldStart(options: { factor: number; warmUpMs: number }): Factor {
  const { factor, warmUpMs } = options
  return (age) => (age >= warmUpMs ? 1 : factor - (factor - 1) * (Math.max(0, age) / warmUpMs))
}
