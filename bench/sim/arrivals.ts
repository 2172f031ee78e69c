/**
 * When calls come: rates over time, and the processes that turn a rate into instants.
 *
 * A rate is calls a second as a function of virtual milliseconds. Arrivals answer one question, "when is the
 * next one after t", so that they can be unlimited and cost no memory.
 */
import { exponential, type Random } from '../../src/lib/seeded-random.ts'

/** Calls a second at virtual time `at` (milliseconds). */
export type Rate = (at: number) => number

/** The instant of the first arrival after `after`, both in virtual milliseconds; Infinity when there is none. */
export type Arrivals = (after: number) => number

export const constant =
  (perSecond: number): Rate =>
  () =>
    perSecond

/** The rate of the last step whose start has come; zero before the first. Steps in order of `fromMs`. */
export function steps(table: readonly { readonly fromMs: number; readonly perSecond: number }[]): Rate {
  return (at) => {
    let rate = 0
    for (const step of table) {
      if (step.fromMs > at) break
      rate = step.perSecond
    }
    return rate
  }
}

/** A day: a sine between `low` and `high`, lowest at time zero. */
export function diurnal(options: { low: number; high: number; dayMs: number }): Rate {
  const { low, high, dayMs } = options
  return (at) => low + ((high - low) * (1 - Math.cos((2 * Math.PI * at) / dayMs))) / 2
}

/** High for the first half of every period (or the share `duty`), low for the rest. */
export function square(options: { low: number; high: number; periodMs: number; duty?: number }): Rate {
  const { low, high, periodMs, duty = 0.5 } = options
  return (at) => (at % periodMs < periodMs * duty ? high : low)
}

/** From `low` straight up to `high` over a period, then at once down. */
export function sawtooth(options: { low: number; high: number; periodMs: number }): Rate {
  const { low, high, periodMs } = options
  return (at) => low + ((high - low) * (at % periodMs)) / periodMs
}

/** A crowd: `base`, then a rise to `peak` over `riseMs`, held for `holdMs`, and away with half-life `halfLifeMs`. */
export function flashCrowd(options: {
  base: number
  peak: number
  startMs: number
  riseMs: number
  holdMs: number
  halfLifeMs: number
}): Rate {
  const { base, peak, startMs, riseMs, holdMs, halfLifeMs } = options
  return (at) => {
    const age = at - startMs
    if (age < 0) return base
    if (age < riseMs) return base + ((peak - base) * age) / riseMs
    if (age < riseMs + holdMs) return peak
    return base + (peak - base) * 0.5 ** ((age - riseMs - holdMs) / halfLifeMs)
  }
}

/** A Poisson process of varying rate by thinning (Lewis and Shedler 1979). `ceiling` bounds the rate from above. */
export function poisson(rate: Rate, ceiling: number, random: Random): Arrivals {
  if (!(ceiling > 0)) throw new Error(`the ceiling of a rate must be positive, got ${ceiling}`)
  return (after) => {
    let at = after
    for (;;) {
      at += exponential(random, 1000 / ceiling)
      const wanted = rate(at)
      if (wanted > ceiling * 1.000001)
        throw new Error(`rate ${wanted}/s at ${at} ms exceeds its ceiling ${ceiling}/s`)
      if (random() * ceiling < wanted) return at
    }
  }
}

/** Evenly spaced, `perSecond` a second. */
export function paced(perSecond: number): Arrivals {
  const gap = 1000 / perSecond
  return (after) => (Math.floor(after / gap + 1e-9) + 1) * gap
}

/** `count` calls at the same instant every `periodMs`. Keeps a count of its own: ask in order of time. */
export function bursts(options: { count: number; periodMs: number }): Arrivals {
  const { count, periodMs } = options
  let given = 0
  let moment = periodMs
  return (after) => {
    if (given === count || after > moment) {
      moment = Math.max(moment + periodMs, Math.floor(after / periodMs) * periodMs + periodMs)
      given = 0
    }
    given++
    return moment
  }
}

/**
 * A Poisson process switched between two rates by a coin of its own (a Markov-modulated process of two
 * states): `calm` for about `calmMs`, then `busy` for about `busyMs`.
 */
export function modulated(
  options: { calm: number; busy: number; calmMs: number; busyMs: number },
  random: Random,
): Arrivals {
  const { calm, busy, calmMs, busyMs } = options
  let isBusy = false
  let switchAt = exponential(random, calmMs)
  return (after) => {
    let at = after
    for (;;) {
      const next = at + exponential(random, 1000 / Math.max(isBusy ? busy : calm, 1e-9))
      if (next < switchAt) return next
      // Memoryless: the unfinished gap is drawn anew at the new rate.
      at = Math.max(at, switchAt)
      isBusy = !isBusy
      switchAt = at + exponential(random, isBusy ? busyMs : calmMs)
    }
  }
}

/** The instants of a recording, in order. */
export function trace(instants: ArrayLike<number>): Arrivals {
  let next = 0
  return () => instants[next++] ?? Number.POSITIVE_INFINITY
}

/** Several processes as one. Each is asked for its next instant only when its last has been given out. */
export function merged(parts: readonly Arrivals[]): Arrivals {
  const next: number[] = []
  return (after) => {
    if (next.length === 0) for (const part of parts) next.push(part(after))
    let first = 0
    for (let i = 1; i < next.length; i++) if ((next[i] ?? 0) < (next[first] ?? 0)) first = i
    const at = next[first] ?? Number.POSITIVE_INFINITY
    next[first] = parts[first]?.(at) ?? Number.POSITIVE_INFINITY
    return at
  }
}

/** The instants of a process up to `untilMs`, drawn once so that every rule under test sees the same. */
export function record(arrivals: Arrivals, untilMs: number): Float64Array {
  const instants: number[] = []
  for (let at = arrivals(0); at < untilMs; at = arrivals(at)) instants.push(at)
  return Float64Array.from(instants)
}
