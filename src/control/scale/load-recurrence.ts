/**
 * How long a level of load stays away before it comes back, as far as a pool has shown it, and so how long the level is kept.
 *
 * The first time nobody can know: a level is kept for some times as long as it was there. From then on the load itself tells. One that came
 * back while it was waited for is waited for again, a little longer than it was away; one that stayed away longer is not waited
 * for any more. One that came back later than that is waited for if it comes not much later, or for the second time alike.
 * So waiting that pays goes on, waiting in vain happens once, and no wait is without an end.
 */
import type { ScaleOptions } from './demand.ts'

/** A stretch in which a level was not wanted. */
interface Recurrence {
  /** When it was wanted last. */
  readonly from: number
  readonly ms: number
  /** The level that came back. */
  readonly replicas: number
}

export interface RecurrenceMemory {
  /** Whether the load was seen to stay away, or to come back; before that, nobody knows. */
  readonly isKnown: boolean
  /** When less than the awaited level was wanted last, and not only a little less. */
  readonly awayAt: number
  /** For how long in all the awaited level was wanted. */
  readonly thereMs: number
  /** The most that was wanted while the pool was young: load beyond it has been away before it came. */
  readonly early: number
  /** After what absences the load came back, the newest last; a few. Empty: it is not expected back. */
  readonly returns: readonly Recurrence[]
  /** One that was longer than was waited for. It counts when the next is like it: one is chance, two are a habit. */
  readonly missed?: Recurrence
  /** Levels last wanted up to this instant are given up, and have been learnt from. */
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

/** A level counts as wanted again from this share of it on: no load comes back to the call. */
export const ALIKE = 2 / 3
/** How much longer than an absence the level is kept from then on. */
const MARGIN = 1.25
/** The part of the down window for which a level is kept while the load gives no reason for more. */
const USUAL = 0.4
/** The longest absence, in down windows, that is waited for after it was seen once. */
const LONGEST_ONCE = 1.6
/** The same after it was seen twice in a row. */
const LONGEST = 6
const KEPT = 4
/** How many times as long as it was there a level is kept while nothing is known of its absences. */
const UNKNOWN = 5

/** How long a level is kept while nothing speaks for longer: long enough for a start to pay. */
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

/** Learns from what is wanted now. */
export function noteLevel(
  memory: RecurrenceMemory,
  seen: RecurrenceReading,
  options: ScaleOptions,
  startMs: number,
): RecurrenceMemory {
  const { now, replicas, awaited, before = now } = seen
  // What comes back is the level that is awaited; a part of it ends no absence.
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
 * What is known of lower levels says nothing of one that was not seen before. It is known to stay away if it was not there for long
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
  // A load comes back in several steps: they end one absence.
  const others = memory.returns.filter(({ from }) => !absences.some((absence) => absence.from === from))
  return { ...memory, isKnown: true, returns: [...others, ...absences].slice(-KEPT) }
}

/** The load was away for longer than it was waited for: it is not expected back. */
export function giveUp(memory: RecurrenceMemory, wantedAt: number): RecurrenceMemory {
  return { ...memory, isKnown: true, returns: [], givenUpAt: wantedAt }
}

function areAlike(a: number, b: number): boolean {
  return Math.min(a, b) >= ALIKE * Math.max(a, b)
}
