/**
 * When the calls of an open loop are due. Several generators share the calls of one profile without talking: each takes its
 * part of them by arithmetic alone.
 */
import { exponential, type Random } from '../lib/seeded-random.ts'
import { callsOf, type Stage } from './profile.ts'

/** Evenly spaced; or at random as independent callers come, with the same rate (a Poisson process). */
export type Spacing = 'even' | 'poisson'

/** Generator `index` of `of`. */
export interface GeneratorShare {
  readonly index: number
  readonly of: number
}

export class Schedule {
  readonly #stages: readonly Stage[]
  readonly #spacing: Spacing
  readonly #random: Random
  readonly #part: GeneratorShare
  /** The calls of all generators that are due before the next one of this. */
  #calls: number
  /** The stage of the next call, when it begins, and the calls before it. */
  #stage = 0
  #beganMs = 0
  #before = 0

  constructor(stages: readonly Stage[], spacing: Spacing, part: GeneratorShare, random: Random) {
    this.#stages = stages
    this.#spacing = spacing
    this.#part = part
    this.#random = random
    this.#calls = spacing === 'even' ? part.index : exponential(random, part.of)
  }

  /** When the next call is due, in milliseconds from the beginning; undefined: there is none. */
  next(): number | undefined {
    const calls = this.#calls
    this.#calls += this.#spacing === 'even' ? this.#part.of : exponential(this.#random, this.#part.of)
    for (let stage = this.#stages[this.#stage]; stage; stage = this.#stages[++this.#stage]) {
      const inStage = callsOf(stage)
      if (calls - this.#before < inStage) return this.#beganMs + whenDue(stage, calls - this.#before)
      this.#before += inStage
      this.#beganMs += stage.ms
    }
    return undefined
  }
}

/**
 * The milliseconds after which a stage has made so many calls: where its rate is from + (to - from) * t / length, the calls are the
 * integral of that, and t is the root of the quadratic in the form that is exact for an even rate as well.
 */
function whenDue({ ms, from, to }: Stage, calls: number): number {
  const seconds = ms / 1000
  const slope = (to - from) / seconds
  const divisor = from + Math.sqrt(Math.max(0, from * from + 2 * slope * calls))
  return divisor === 0 ? 0 : Math.min(ms, (2000 * calls) / divisor)
}
