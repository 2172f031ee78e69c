/**
 * Rules for moving. A plan says what the load needs; these rules decide whether the pool goes there.
 *
 * Up is refused only where the last replicas did not help or are still starting. Down requires that the level was not
 * wanted for a while, and that the flap budget allows the way back up. So reversals are bounded without ever
 * withholding capacity. How long that while is, the load has taught: see `load-recurrence.ts`.
 */

import type { ScaleOptions } from './demand.ts'
import {
  ALIKE,
  giveUp,
  holdTime,
  longestHold,
  noteLevel,
  nothingKnown,
  type RecurrenceMemory,
  usualHold,
} from './load-recurrence.ts'

export interface Want {
  readonly at: number
  readonly replicas: number
}

export interface MoveMemory {
  readonly desired: number
  readonly direction: 'up' | 'down' | 'none'
  /** When the direction turned, the newest last. */
  readonly reversals: readonly number[]
  readonly changedAt: number
  /** Past wants in falling order: the maximum over any stretch up to now is the first entry in it. */
  readonly wants: readonly Want[]
  readonly watchingSince: number
  readonly absences: RecurrenceMemory
}

export function startMoves(replicas: number, now: number): MoveMemory {
  return {
    desired: replicas,
    direction: 'none',
    reversals: [],
    changedAt: now,
    wants: [],
    watchingSince: now,
    absences: nothingKnown(now),
  }
}

/** Records what is wanted now, and learns from how long it was not wanted. */
export function noteWant(memory: MoveMemory, want: Want, options: ScaleOptions, startMs: number): MoveMemory {
  const { at: now, replicas } = want
  const seen = {
    now,
    replicas,
    awaited: levelAwaited(memory.wants, memory.absences),
    before: lastAlike(memory.wants, replicas),
    sinceMs: now - (memory.wants.at(-1)?.at ?? now),
    watchingSince: memory.watchingSince,
  }
  const absences = noteLevel(memory.absences, seen, options, startMs)
  const oldest = now - longestHold(options)
  const wants = [...memory.wants.filter((past) => past.at > oldest && past.replicas > replicas), want]
  const wantedAt = lastAlike(wants, levelAwaited(wants, absences)) ?? now
  const isGone = now - wantedAt > holdTime(absences, options, startMs)
  return { ...memory, wants, absences: isGone ? giveUp(absences, wantedAt) : absences }
}

/** The highest level that is not given up. */
function levelAwaited(wants: readonly Want[], { givenUpAt }: RecurrenceMemory): number {
  return wants.find(({ at }) => at > givenUpAt)?.replicas ?? 0
}

/** When as much as `replicas` was wanted last, or nearly. */
function lastAlike(wants: readonly Want[], replicas: number): number | undefined {
  return wants.findLast((past) => past.replicas >= replicas * ALIKE)?.at
}

/**
 * The level that is kept. While the load is present, it may shrink a little after the usual hold: the way back from
 * there is short.
 */
export function keptLevel(
  memory: MoveMemory,
  options: ScaleOptions,
  at: { now: number; startMs: number },
): number {
  const usualMs = usualHold(options, at.startMs)
  const isThere = at.now - memory.absences.awayAt > usualMs
  const holdMs = isThere ? usualMs : holdTime(memory.absences, options, at.startMs)
  return mostWanted(memory, holdMs, at.now)
}

/** The most that was wanted at any time in the last `windowMs`. */
export function mostWanted(memory: MoveMemory, windowMs: number, now: number): number {
  for (const want of memory.wants) if (want.at >= now - windowMs) return want.replicas
  return 0
}

export function reversalsWithin(memory: MoveMemory, options: ScaleOptions, now: number): number {
  return memory.reversals.filter((at) => at >= now - options.reversalWindowMs).length
}

/** Whether a move down leaves room in the flap budget for the move up that may have to follow. */
export function mayTurnDown(memory: MoveMemory, options: ScaleOptions, now: number): boolean {
  const turns = memory.direction === 'up' ? 1 : 0
  return reversalsWithin(memory, options, now) + turns + 1 <= options.maxReversals
}

/** The memory after a move to `replicas`. */
export function move(memory: MoveMemory, replicas: number, options: ScaleOptions, now: number): MoveMemory {
  if (replicas === memory.desired) return memory
  const direction = replicas > memory.desired ? 'up' : 'down'
  const isTurn = memory.direction !== 'none' && memory.direction !== direction
  const kept = memory.reversals.filter((at) => at >= now - options.reversalWindowMs)
  return {
    ...memory,
    desired: replicas,
    direction,
    changedAt: now,
    reversals: isTurn ? [...kept, now] : kept,
  }
}
