/**
 * Learns how long a level of load stays away before it comes back, and so how long the replicas for it are kept.
 *
 * The first time this is unknown: a level is kept for a multiple of the time it was there. From then on the load itself
 * teaches. A level that came back while it was kept is kept a little longer than that absence the next time. A level
 * that stayed away longer is given up. If it comes back after that, the longer absence is used where it is only a
 * little longer, or has happened twice. So keeping that pays goes on, keeping in vain happens once, and every level is
 * given up at some time.
 */
import type { ScaleOptions } from './demand.ts'

/** An absence: a stretch in which a level was not wanted, after which it came back. */
interface Recurrence {
  /** When it was wanted last. */
  readonly from: number
  readonly ms: number
  /** The level that came back. */
  readonly replicas: number
}

export interface RecurrenceMemory {
  /** Whether the load was seen to stay away, or to come back; false before the first time. */
  readonly isKnown: boolean
  /** When less than the awaited level was wanted last, and not only a little less. */
  readonly awayAt: number
  /** For how long in all the awaited level was wanted. */
  readonly thereMs: number
  /** The highest level in the pool's first time: a higher one must have been away before it came. */
  readonly early: number
  /** The last few absences after which the load came back, the newest last. Empty: it is not expected back. */
  readonly returns: readonly Recurrence[]
  /**
   * An absence that was longer than the level was kept. It counts when the next one is similar: one is chance, two are
   * a habit.
   */
  readonly missed?: Recurrence
  /** Levels that were last wanted before this instant are given up, and were learnt from. */
  readonly givenUpAt: number
}

export function nothingKnown(now: number): RecurrenceMemory {
  return {
    isKnown: false,
    awayAt: now,
    thereMs: 0,
    early: 0,
    returns: [],
    givenUpAt: Number.NEGATIVE_INFINITY,
  }
}

/** Share of a level from which on it counts as wanted again: no load comes back exactly. */
export const ALIKE = 2 / 3
/** Factor on an absence for how long the level is kept from then on. */
const MARGIN = 1.25
/** Share of the down window for which a level is kept without a reason for more. */
const USUAL = 0.4
/** The longest absence, in down windows, through which a level is kept after it was seen once. */
const LONGEST_ONCE = 1.6
/** The same after it was seen twice in a row. */
const LONGEST = 6
const KEPT = 4
/** Multiple of the time that a level was there for which it is kept while its absences are unknown. */
const UNKNOWN = 5

/** How long a level is kept without a reason for more: long enough for a start to pay. */
export function usualHold(options: ScaleOptions, startMs: number): number {
  return Math.min(options.downMs, Math.max(options.stableMs, USUAL * options.downMs, 2 * startMs))
}

/** How long a level is kept after it was last wanted. */
export function holdTime(memory: RecurrenceMemory, options: ScaleOptions, startMs: number): number {
  if (!memory.isKnown) return Math.max(options.downMs, Math.min(options.unknownMs, UNKNOWN * memory.thereMs))
  return Math.max(usualHold(options, startMs), MARGIN * longestReturn(memory))
}

/** The longest of the absences after which the load came back; 0: it is not expected to. */
export function longestReturn(memory: RecurrenceMemory): number {
  return Math.max(0, ...memory.returns.map(({ ms }) => ms))
}

export function longestHold(options: ScaleOptions): number {
  return Math.max(options.unknownMs, MARGIN * LONGEST * options.downMs)
}

interface RecurrenceReading {
  readonly now: number
  readonly replicas: number
  /** The highest level that is not given up. */
  readonly awaited: number
  /** When as much as `replicas` was wanted last, or nearly; undefined: never. */
  readonly before: number | undefined
  /** Since the last look. */
  readonly sinceMs: number
  readonly watchingSince: number
}

/** Learns from the level that is wanted now. */
export function noteLevel(
  memory: RecurrenceMemory,
  seen: RecurrenceReading,
  options: ScaleOptions,
  startMs: number,
): RecurrenceMemory {
  const { now, replicas, awaited, before = now } = seen
  // Only the awaited level ends an absence, and not a part of it.
  if (replicas < awaited * ALIKE) return { ...memory, awayAt: now }
  const thereMs = awaited < replicas * ALIKE ? 0 : memory.thereMs + seen.sinceMs
  const absence = { from: before, ms: now - before, replicas }
  return noteReturn(noteNewLevel({ ...memory, thereMs }, seen, options), absence, options, startMs)
}

function noteReturn(
  memory: RecurrenceMemory,
  absence: Recurrence,
  options: ScaleOptions,
  startMs: number,
): RecurrenceMemory {
  const { ms, from } = absence
  if (ms <= usualHold(options, startMs)) return memory
  if (ms <= Math.max(holdTime(memory, options, startMs), LONGEST_ONCE * options.downMs))
    return noteReturns(memory, [absence])
  if (ms > LONGEST * options.downMs) return memory
  const { missed, ...rest } = memory
  const isHabit = missed !== undefined && missed.from !== from && areAlike(missed.ms, ms)
  return isHabit ? noteReturns(rest, [missed, absence]) : { ...rest, missed: absence }
}

/**
 * Absences of lower levels say nothing about a new level. It is known to stay away where it did not appear for long
 * after the pool was first seen.
 */
function noteNewLevel(
  memory: RecurrenceMemory,
  seen: RecurrenceReading,
  options: ScaleOptions,
): RecurrenceMemory {
  const isYoung = seen.now - seen.watchingSince <= LONGEST_ONCE * options.downMs
  const early = isYoung ? Math.max(memory.early, seen.replicas) : memory.early
  const isBeyond = (level: number) => seen.replicas * ALIKE > level
  if (memory.returns.some(({ replicas }) => isBeyond(replicas)))
    return { ...memory, early, returns: [], isKnown: !isYoung }
  return { ...memory, early, isKnown: memory.isKnown || (!isYoung && isBeyond(early)) }
}

function noteReturns(memory: RecurrenceMemory, absences: readonly Recurrence[]): RecurrenceMemory {
  // A load comes back in several steps, which end the same absence.
  const others = memory.returns.filter(({ from }) => !absences.some((absence) => absence.from === from))
  return { ...memory, isKnown: true, returns: [...others, ...absences].slice(-KEPT) }
}

/** Gives up a level that was away for longer than it was kept: it is not expected back. */
export function giveUp(memory: RecurrenceMemory, wantedAt: number): RecurrenceMemory {
  return { ...memory, isKnown: true, returns: [], givenUpAt: wantedAt }
}

function areAlike(a: number, b: number): boolean {
  return Math.min(a, b) >= ALIKE * Math.max(a, b)
}
