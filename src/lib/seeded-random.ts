/**
 * Seeded random numbers: sfc32 (Doty-Humphrey, PractRand), seeded through splitmix32.
 *
 * A simulation that draws arrivals and service times from separate streams keeps both unchanged when the
 * rule under test changes, so two rules are compared on the very same load.
 */

/** A uniform number in [0, 1), from 32 random bits. */
export type Random = () => number

/** A stream of its own for every seed and label; the same pair always yields the same numbers. */
export function createRandom(seed: number, label = ''): Random {
  let state = seed >>> 0
  for (let i = 0; i < label.length; i++) state = Math.imul(state ^ label.charCodeAt(i), 0x9e3779b1) >>> 0
  const next = splitmix32(state)
  return sfc32([next(), next(), next(), next()])
}

/** Exponentially distributed with the given mean. */
export function exponential(random: Random, mean: number): number {
  return -Math.log(1 - random()) * mean
}

/** Standard normal (Box and Muller 1958; the second of the pair is thrown away, which keeps streams simple). */
export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}

function splitmix32(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let mixed = state ^ (state >>> 16)
    mixed = Math.imul(mixed, 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return (mixed ^ (mixed >>> 15)) >>> 0
  }
}

function sfc32(seeds: readonly [number, number, number, number]): Random {
  let [a, b, c, counter] = seeds
  const next = () => {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return (sum >>> 0) / 4294967296
  }
  for (let i = 0; i < 12; i++) next()
  return next
}
