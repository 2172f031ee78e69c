/** What is asked for in the simulation of process memory: classes of keys with their sizes, costs and popularity. */
import { createRandom, type Random } from '../../../src/lib/seeded-random.ts'

/** A number, or a range over which keys are spread, evenly by the logarithm. */
export type Spread = number | { readonly from: number; readonly to: number }

export interface KeyClass {
  /** Of the requests. */
  readonly share: number
  /** Of the scenario's keys. */
  readonly keys: number
  /** Exponent of Zipf's law. */
  readonly skew: number
  /** Backend milliseconds of a miss. */
  readonly costMs: Spread
  /** Bytes of a value. */
  readonly bytes: Spread
  /** The part of its requests that ask for what is never asked for again; default 0. */
  readonly once?: number
  /** How many times the ranks of all its keys are exchanged over the run; default 0. */
  readonly drift?: number
}

export interface Workload {
  readonly name: string
  readonly classes: readonly KeyClass[]
  /** Between these parts of the run the backend takes so many times as long. */
  readonly slow?: { readonly from: number; readonly to: number; readonly times: number }
}

export interface Request {
  readonly key: number
  /** Its class's index. */
  readonly class: number
  readonly bytes: number
  readonly costMs: number
}

const ALIKE: KeyClass = { share: 1, keys: 1, skew: 1, costMs: 20, bytes: 300 }
const CHEAP: KeyClass = { share: 0.9, keys: 0.5, skew: 1, costMs: 20, bytes: 300 }
const DEAR: KeyClass = { share: 0.1, keys: 0.5, skew: 1, costMs: 2_000, bytes: 300 }

export const EQUAL: readonly Workload[] = [
  { name: 'Zipf 1.0', classes: [ALIKE] },
  { name: 'Zipf 0.7', classes: [{ ...ALIKE, skew: 0.7 }] },
  { name: 'Zipf 1.0, 30 % scans', classes: [{ ...ALIKE, once: 0.3 }] },
  { name: 'Zipf 1.0, drifting', classes: [{ ...ALIKE, drift: 1 }] },
]

export const UNEQUAL: readonly Workload[] = [
  { name: 'a tenth costs 100 times, Zipf 1.0', classes: [CHEAP, DEAR] },
  {
    name: 'a tenth costs 100 times, Zipf 0.7',
    classes: [
      { ...CHEAP, skew: 0.7 },
      { ...DEAR, skew: 0.7 },
    ],
  },
  {
    name: 'a tenth costs 100 times, drifting',
    classes: [
      { ...CHEAP, skew: 0.9, drift: 1 },
      { ...DEAR, skew: 0.9, drift: 1 },
    ],
  },
  {
    name: '2 ms beside 2 s of 2 KB, Zipf 0.9',
    classes: [
      { ...CHEAP, skew: 0.9, costMs: 2, keys: 0.8 },
      { ...DEAR, skew: 0.9, bytes: 2_048, keys: 0.2 },
    ],
  },
  {
    name: 'any cost of 20 ms to 2 s, Zipf 0.7',
    classes: [{ ...ALIKE, skew: 0.7, costMs: { from: 20, to: 2_000 } }],
  },
  {
    name: 'any cost, 150 B to 5 KB, Zipf 0.9',
    classes: [{ ...ALIKE, skew: 0.9, costMs: { from: 20, to: 2_000 }, bytes: { from: 150, to: 4_800 } }],
  },
  {
    name: 'dear ones half never again, Zipf 0.9',
    classes: [
      { ...CHEAP, skew: 0.9 },
      { ...DEAR, skew: 0.9, once: 0.5 },
    ],
  },
  {
    name: 'dear ones never again, Zipf 0.9',
    classes: [
      { ...CHEAP, skew: 0.9 },
      { ...DEAR, once: 1 },
    ],
  },
]

/** Costs that are alike, and 100 times as high for a twentieth of the run. */
export const SLOW: Workload = {
  name: 'Zipf 1.0, slow for a while',
  classes: [ALIKE],
  slow: { from: 0.5, to: 0.55, times: 100 },
}

export interface Trace {
  /** Bytes of all values that are asked for more than once. */
  readonly bytes: number
  /** The requests, always the same. */
  readonly requests: () => Generator<Request>
}

/** `keys` and `count`: of the scenario, those asked for once left out, and of its requests. */
export function traceOf(
  { name, classes }: Workload,
  { keys, count, seed }: { readonly keys: number; readonly count: number; readonly seed: number },
): Trace {
  const sets = classes.map((each, i) => new KeySet(each, Math.round(each.keys * keys), `${name} ${i}`, seed))
  return {
    bytes: sets.reduce((sum, set) => sum + set.totalBytes, 0),
    *requests() {
      const random = createRandom(seed, `${name} requests`)
      for (let i = 0; i < count; i++) {
        let left = random()
        const at = classes.findIndex(({ share }) => (left -= share) < 0)
        const index = at < 0 ? classes.length - 1 : at
        const set = sets[index] as KeySet
        const { key, ...request } = set.draw(random, i / count, i)
        yield { ...request, key: key * classes.length + index, class: index }
      }
    },
  }
}

/** The keys of a class; those that are asked for once have numbers behind the others. */
class KeySet {
  readonly totalBytes: number
  readonly #of: KeyClass
  readonly #bytes: readonly number[]
  readonly #costs: readonly number[]
  /** Sums of the popularities up to each rank. */
  readonly #sums: Float64Array
  /** The key at each rank. */
  readonly #order: readonly number[]

  constructor(of: KeyClass, count: number, label: string, seed: number) {
    const random = createRandom(seed, label)
    this.#of = of
    this.#bytes = Array.from({ length: count }, () => Math.round(drawn(of.bytes, random)))
    this.#costs = Array.from({ length: count }, () => drawn(of.costMs, random))
    this.totalBytes = this.#bytes.reduce((a, b) => a + b, 0)
    this.#sums = new Float64Array(count)
    let sum = 0
    for (let rank = 0; rank < count; rank++) this.#sums[rank] = sum += 1 / (rank + 1) ** of.skew
    this.#order = shuffled(count, random)
  }

  /** `done`: the part of the run that is over; `serial`: the number of the request. */
  draw(random: Random, done: number, serial: number): Omit<Request, 'class'> {
    const { once = 0, drift = 0, bytes, costMs } = this.#of
    const count = this.#order.length
    if (once > 0 && random() < once) {
      return { key: count + serial, bytes: Math.round(drawn(bytes, random)), costMs: drawn(costMs, random) }
    }
    const shift = Math.floor(done * drift * count)
    const key = this.#order[(this.#rank(random) + shift) % count] as number
    return { key, bytes: this.#bytes[key] as number, costMs: this.#costs[key] as number }
  }

  #rank(random: Random): number {
    const sums = this.#sums
    const wanted = random() * (sums[sums.length - 1] as number)
    let low = 0
    let high = sums.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sums[middle] as number) < wanted) low = middle + 1
      else high = middle
    }
    return low
  }
}

function drawn(spread: Spread, random: Random): number {
  if (typeof spread === 'number') return spread
  return spread.from * (spread.to / spread.from) ** random()
}

function shuffled(count: number, random: Random): number[] {
  const order = Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[order[i], order[j]] = [order[j] as number, order[i] as number]
  }
  return order
}
