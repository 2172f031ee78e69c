/**
 * What could have been done by one who knows every call beforehand: the cheapest timetable of replicas with no more violation-seconds
 * than a given number, at most three reversals in each ten minutes, and starts that are paid for while they last.
 *
 * It is a bound in the oracle's favour: a backlog is not carried from one interval to the next, reversals are counted in
 * aligned stretches of ten minutes, and it starts with whatever it likes.
 */
import type { Load } from './pool.ts'

export interface OracleOptions {
  readonly slots: number
  readonly startMs: number
  readonly sloMs: number
  readonly max: number
  readonly untilMs: number
  readonly maxReversals: number
}

export interface Timetable {
  /** Replicas ready in each interval. */
  readonly replicas: readonly number[]
  readonly intervalMs: number
  readonly violationSeconds: number
  readonly replicaSeconds: number
}

const INTERVAL_MS = 10_000
const BLOCK = 600_000 / INTERVAL_MS
const LEAD_MS = 2_000

/** Violation-seconds in each interval by number of replicas; from `first` on, until none are left. */
interface Price {
  readonly first: number
  readonly violations: readonly number[]
}

export interface Oracle {
  /** No timetable with at most `allowed` violation-seconds costs fewer replica-seconds than `atLeast`. */
  readonly atLeast: number
  /** The best timetable found that keeps to it. */
  readonly best: Timetable
}

/**
 * For a number of violation-seconds allowed: a proven lower bound on the replica-seconds, and a timetable close to it. Both come from
 * pricing a violation-second and searching for the price (Lagrangian duality): at every price, cost minus price times
 * allowance is a bound.
 */
export function oracle(load: Load, options: OracleOptions): (allowed: number) => Oracle {
  const prices = pricesOf(load, options)
  return (allowed) => {
    let [low, high] = [0, 1024]
    let best = cheapest(prices, high, options)
    let atLeast = 0
    for (let i = 0; i < 22; i++) {
      const middle = high > 8 ? Math.sqrt(Math.max(low, 0.5) * high) : (low + high) / 2
      const plan = cheapest(prices, middle, options)
      atLeast = Math.max(atLeast, plan.replicaSeconds + middle * (plan.violationSeconds - allowed))
      if (plan.violationSeconds > allowed) {
        low = middle
        continue
      }
      high = middle
      if (plan.replicaSeconds < best.replicaSeconds || best.violationSeconds > allowed) best = plan
    }
    return { atLeast, best }
  }
}

function pricesOf(load: Load, options: OracleOptions): Price[] {
  const prices: Price[] = []
  let from = 0
  for (let at = 0; at < options.untilMs; at += INTERVAL_MS) {
    const { arrivals } = load
    while ((arrivals[from] ?? Infinity) < at - LEAD_MS) from++
    let to = from
    let work = 0
    while ((arrivals[to] ?? Infinity) < at + INTERVAL_MS) work += load.serviceMs[to++] ?? 0
    const busy = work / (INTERVAL_MS + Math.min(at, LEAD_MS))
    const first = Math.min(options.max, Math.max(1, Math.floor((busy * 0.9) / options.slots)))
    const violations: number[] = []
    for (let replicas = first; replicas <= options.max; replicas++) {
      const count = violationsWith(load, {
        from,
        to,
        at,
        slots: replicas * options.slots,
        sloMs: options.sloMs,
      })
      violations.push(count)
      if (count === 0) break
    }
    prices.push({ first, violations })
  }
  return prices
}

/** First come, first served on `slots` servers, from empty: the seconds in which more than 5 % of the calls are late. */
function violationsWith(
  load: Load,
  it: { from: number; to: number; at: number; slots: number; sloMs: number },
): number {
  const free = new Float64Array(it.slots)
  const totals = new Float64Array(INTERVAL_MS / 1000)
  const lates = new Float64Array(INTERVAL_MS / 1000)
  for (let i = it.from; i < it.to; i++) {
    const arrivedAt = load.arrivals[i] ?? 0
    const end = Math.max(arrivedAt, free[0] ?? 0) + (load.serviceMs[i] ?? 0)
    replaceLeast(free, end)
    const second = Math.floor((arrivedAt - it.at) / 1000)
    if (second < 0) continue
    totals[second] = (totals[second] ?? 0) + 1
    if (end - arrivedAt > it.sloMs) lates[second] = (lates[second] ?? 0) + 1
  }
  let count = 0
  for (let i = 0; i < totals.length; i++) if ((lates[i] ?? 0) > (totals[i] ?? 0) * 0.05) count++
  return count
}

/** Puts `value` in place of the least of a heap. */
function replaceLeast(heap: Float64Array, value: number): void {
  let at = 0
  for (;;) {
    let below = 2 * at + 1
    if (below >= heap.length) break
    if (below + 1 < heap.length && (heap[below + 1] ?? 0) < (heap[below] ?? 0)) below++
    if ((heap[below] ?? 0) >= value) break
    heap[at] = heap[below] ?? 0
    at = below
  }
  heap[at] = value
}

function violationsAt(price: Price, replicas: number): number {
  if (replicas < price.first) return INTERVAL_MS / 1000
  return price.violations[Math.min(replicas - price.first, price.violations.length - 1)] ?? 0
}

/** Dynamic programming over (replicas, direction, reversals in this block) with violation-seconds at a fixed price. */
function cheapest(prices: readonly Price[], perViolation: number, options: OracleOptions): Timetable {
  const { max, maxReversals } = options
  const turns = maxReversals + 1
  const states = (max + 1) * 2 * turns
  const id = (replicas: number, down: number, used: number) => (replicas * 2 + down) * turns + used
  let cost = new Float64Array(states).fill(Infinity)
  const came: Int32Array[] = []
  const pay = (i: number, replicas: number) =>
    (replicas * INTERVAL_MS) / 1000 +
    perViolation * violationsAt(prices[i] ?? { first: 0, violations: [0] }, replicas)
  for (let replicas = 1; replicas <= max; replicas++) {
    cost[id(replicas, 0, 0)] = pay(0, replicas)
    cost[id(replicas, 1, 0)] = pay(0, replicas)
  }
  for (let i = 1; i < prices.length; i++) {
    const next = new Float64Array(states).fill(Infinity)
    const from = new Int32Array(states)
    const offer = (state: number, value: number, before: number) => {
      if (value >= (next[state] ?? Infinity)) return
      next[state] = value
      from[state] = before
    }
    const bill = Array.from({ length: max + 1 }, (_, replicas) => pay(i, replicas))
    for (let before = 0; before < states; before++) {
      const value = cost[before] ?? Infinity
      if (value === Infinity) continue
      const used = i % BLOCK === 0 ? 0 : before % turns
      const down = Math.floor(before / turns) % 2
      const old = Math.floor(before / turns / 2)
      for (let replicas = 1; replicas <= max; replicas++) {
        const way = replicas === old ? down : replicas < old ? 1 : 0
        const spent = used + (way === down ? 0 : 1)
        if (spent > maxReversals) continue
        const starts = (Math.max(0, replicas - old) * options.startMs) / 1000
        offer(id(replicas, way, spent), value + (bill[replicas] ?? Infinity) + starts, before)
      }
    }
    cost = next
    came.push(from)
  }
  return trace(cost, came, prices, { turns, startMs: options.startMs })
}

function trace(
  cost: Float64Array,
  came: readonly Int32Array[],
  prices: readonly Price[],
  { turns, startMs }: { turns: number; startMs: number },
): Timetable {
  let state = 0
  cost.forEach((value, i) => {
    if (value < (cost[state] ?? Infinity)) state = i
  })
  const replicas: number[] = []
  for (let i = came.length; i >= 0; i--) {
    replicas[i] = Math.floor(state / turns / 2)
    state = came[i - 1]?.[state] ?? 0
  }
  let violationSeconds = 0
  let replicaSeconds = 0
  replicas.forEach((count, i) => {
    violationSeconds += violationsAt(prices[i] ?? { first: 0, violations: [0] }, count)
    replicaSeconds += (count * INTERVAL_MS + Math.max(0, count - (replicas[i - 1] ?? count)) * startMs) / 1000
  })
  return { replicas, intervalMs: INTERVAL_MS, violationSeconds, replicaSeconds }
}
