/** Keys drawn by Zipf's law of exponent 1, and the state of a cache that has been used for long. */
import type { Random } from '../../../src/lib/seeded-random.ts'

/** How finely the guide divides the probabilities: a draw looks at few keys. */
const GUIDE = 1 << 16

export class ZipfKeys {
  readonly count: number
  readonly #cumulative: Float64Array
  readonly #guide = new Int32Array(GUIDE + 1)

  constructor(count: number) {
    this.count = count
    this.#cumulative = new Float64Array(count)
    let total = 0
    for (let key = 0; key < count; key++) this.#cumulative[key] = total += 1 / (key + 1)
    for (let key = 0, at = 0; at <= GUIDE; at++) {
      while (key < count - 1 && (this.#cumulative[key] ?? 0) < (at / GUIDE) * total) key++
      this.#guide[at] = key
    }
  }

  draw(random: Random): number {
    // 32 bits are too few for the tail of millions of keys.
    const point = (Math.floor(random() * 2 ** 26) + random()) / 2 ** 26
    const slot = Math.floor(point * GUIDE)
    const target = point * (this.#cumulative[this.count - 1] ?? 0)
    let low = this.#guide[slot] ?? 0
    let high = this.#guide[slot + 1] ?? this.count - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#cumulative[middle] ?? 0) < target) low = middle + 1
      else high = middle
    }
    return low
  }

  /** A cache that has kept every key it was asked for, until it had `rows` of them: 1 where a key is kept. */
  used(rows: number, random: Random): Uint8Array {
    const kept = new Uint8Array(this.count)
    for (let known = 0; known < rows; ) {
      const key = this.draw(random)
      if (kept[key] === 1) continue
      kept[key] = 1
      known++
    }
    return kept
  }

  /** The keys of so many calls, the most frequent first: what a sample of at most `keep` keys knows. */
  sample(calls: number, keep: number, random: Random): Sample {
    const counts = new Uint32Array(this.count)
    for (let i = 0; i < calls; i++) {
      const key = this.draw(random)
      counts[key] = (counts[key] ?? 0) + 1
    }
    const seen: number[] = []
    let once = 0
    for (let key = 0; key < this.count; key++) {
      if ((counts[key] ?? 0) > 0) seen.push(key)
      if (counts[key] === 1) once++
    }
    seen.sort((one, other) => (counts[other] ?? 0) - (counts[one] ?? 0))
    const kept = seen.slice(0, keep)
    const known = kept.reduce((sum, key) => sum + (counts[key] ?? 0), 0)
    // Calls for what was never seen are as many as those for what was seen once (Good 1953).
    return { keys: Int32Array.from(kept), share: Math.max(0, Math.min(known, calls - once) / calls) }
  }
}

export interface Sample {
  readonly keys: Int32Array
  /** The part of all calls that asks for these keys, as far as the sample itself shows it. */
  readonly share: number
}
