/** Keys drawn by Zipf's law: key k of n with a probability in proportion to 1/k^s. Deterministic by seed. */
export function zipf(options: {
  readonly keys: number
  readonly exponent: number
  readonly seed: number
}): () => number {
  const { keys, exponent } = options
  const cumulative = new Float64Array(keys)
  let total = 0
  for (let k = 0; k < keys; k++) {
    total += (k + 1) ** -exponent
    cumulative[k] = total
  }
  const random = mulberry32(options.seed)
  return () => {
    const point = random() * total
    let low = 0
    let high = keys - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if ((cumulative[middle] as number) < point) low = middle + 1
      else high = middle
    }
    return low + 1
  }
}

/** A small generator with a known sequence for each seed (Tommy Ettinger's mulberry32). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
