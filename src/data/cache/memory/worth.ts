/**
 * What a record of an arena is worth, and whether that is enough. Its worth is the backend time that a byte of it is expected to
 * save in a turn of the main log: what a miss costs, times the reads that are expected, by its size. It is compared with a bar,
 * which rises with each record that stays and falls with each that goes, so that of `TAILS` records at the tail one goes.
 *
 * Of records that were not read yet, how many will be is learnt from those that are let in on trial, for each cost by itself: dear
 * answers that nobody asks for again must not fill the memory.
 */
import { MAX_COST } from './miss-cost.ts'
import {
  costOf,
  expectedReads,
  IN_MAIN,
  isRead,
  metaMoved,
  metaPromoted,
  metaTurned,
  ON_TRIAL,
} from './record-meta.ts'

/** Of so many records at the main log's tail, one goes. */
const TAILS = 5
/** How far a record that stays moves the bar, in octaves. */
const STEP = 0.02
/** Of so many unread records, one is let in on trial whatever it is worth; a power of two. */
const TRIED = 128
/** The weight of one trial. */
const WEIGHT = 1 / 32
/** Expected of an unread record before anything is known. */
const FIRST_LUCK = 0.25

/** The numbers of a `Worth`: the bar, and the part of the trials that were read, by cost. */
export const WORTH_NUMBERS = 1 + (MAX_COST + 1)

export class Worth {
  /** In memory that workers may share. */
  readonly #numbers: Float64Array

  constructor(numbers: Float64Array) {
    this.#numbers = numbers
  }

  clear(): void {
    this.#numbers.fill(FIRST_LUCK)
    this.#numbers[0] = 0
  }

  /** Whether a live record that has come to the main log's tail stays; `turned`: its meta after the turn. Moves the bar. */
  stays(turned: number, cells: number): boolean {
    const bar = this.#numbers[0] as number
    const isAbove = worthOf(turned, cells) > bar
    this.#numbers[0] = bar + (isAbove ? STEP : STEP * (1 - TAILS))
    return isAbove
  }

  /** The meta with which an unread record moves to the main log. */
  unread(meta: number): number {
    return metaMoved(meta, this.#numbers[1 + costOf(meta)] as number)
  }

  /** The same on trial; 0: it is not worth one. `random`: bits of its own. */
  tried(meta: number, cells: number, random: number): number {
    const moved = this.unread(meta)
    const isTried = worthOf(moved, cells) > (this.#numbers[0] as number) || (random & (TRIED - 1)) === 0
    return isTried ? moved | ON_TRIAL : 0
  }

  /** The meta that a live record would have if its turn ended now. */
  turnedNow(meta: number): number {
    if ((meta & IN_MAIN) !== 0) return metaTurned(meta)
    return isRead(meta) ? metaPromoted(meta) : this.unread(meta)
  }

  /** Takes note of how a trial has ended; `meta` as it is at the tail. */
  learn(meta: number): void {
    if ((meta & ON_TRIAL) === 0) return
    const at = 1 + costOf(meta)
    const luck = this.#numbers[at] as number
    this.#numbers[at] = luck + WEIGHT * ((isRead(meta) ? 1 : 0) - luck)
  }
}

/** In octaves, of no particular unit. */
export function worthOf(meta: number, cells: number): number {
  return costOf(meta) + Math.log2(expectedReads(meta) / cells)
}
