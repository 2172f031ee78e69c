/**
 * When to move. A plan says what the load needs now; these rules say whether the pool goes there.
 *
 * Up is refused only where the last replicas did not help or are still awaited. Down is what must be earned: the level
 * must not have been wanted for a while, and enough of the flap budget must be left for the way back up. So reversals are
 * bounded without ever withholding capacity. How long that while is, is learnt from the load: long where the load is
 * not known yet, and longer than the gaps after which it was seen to come back.
 */
import type { ScaleOptions } from './demand.ts'

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
  /** Wants of the past, falling: the maximum over any stretch up to now is the first entry in it. */
  readonly wants: readonly Want[]
  readonly watchingSince: number
  /** How long a level is to be kept after it was last wanted, as far as gaps in the load have taught it; 0: they have not. */
  readonly holdMs: number
  /** When a gap last bore that out. */
  readonly holdSetAt: number
}

/** After so long without a gap to bear it out, half of a learnt hold is forgotten. */
const FORGET_MS = 1_800_000

export function startMoves(replicas: number, now: number): MoveMemory {
  return {
    desired: replicas,
    direction: 'none',
    reversals: [],
    changedAt: now,
    wants: [],
    watchingSince: now,
    holdMs: 0,
    holdSetAt: now,
  }
}

/** The part of the down window for which a level is kept while the load gives no reason for more. */
const USUAL = 0.4
/** A load that stays away longer than this, in down windows, is not expected back. */
const LONGEST_GAP = 1.25
/** How much longer than a gap its level is kept from then on. */
const MARGIN = 1.25
/** A level counts as wanted again from this share of it on: no load comes back to the call. */
const ALIKE = 0.75

/** Remembers what is wanted now, and after what gap: had the level been kept a little longer, nobody would have waited. */
export function noteWant(memory: MoveMemory, want: Want, options: ScaleOptions): MoveMemory {
  const { at: now, replicas } = want
  const last = memory.wants.findLast((past) => past.replicas >= replicas * ALIKE)
  const gap = now - (last?.at ?? now)
  const wants = memory.wants.filter((past) => past.at > now - 2 * options.downMs && past.replicas > replicas)
  const noted = { ...memory, wants: [...wants, want] }
  const holdMs = MARGIN * gap
  // One that is less than half of what is kept anyway teaches nothing.
  if (gap > LONGEST_GAP * options.downMs || 2 * holdMs <= memory.holdMs) return noted
  return { ...noted, holdMs: Math.max(memory.holdMs, holdMs), holdSetAt: now }
}

/** The most that was wanted at any time in the last `windowMs`. */
export function mostWanted(memory: MoveMemory, windowMs: number, now: number): number {
  for (const want of memory.wants) if (want.at >= now - windowMs) return want.replicas
  return 0
}

/** How long a level is kept while nothing speaks for longer: long enough for a start to pay. */
export function usualHold(options: ScaleOptions, startMs: number): number {
  return Math.min(options.downMs, Math.max(options.stableMs, USUAL * options.downMs, 2 * startMs))
}

/** How long a level is kept: as gaps have taught, and the whole down window while there has been no time to see any. */
export function holdTime(
  memory: MoveMemory,
  options: ScaleOptions,
  at: { now: number; startMs: number },
): number {
  const isNew = at.now - memory.watchingSince < options.reversalWindowMs
  return Math.max(isNew ? options.downMs : usualHold(options, at.startMs), memory.holdMs)
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

/** The memory, with what it has learnt of gaps fading. */
export function relax(memory: MoveMemory, now: number): MoveMemory {
  if (memory.holdMs === 0 || now - memory.holdSetAt < FORGET_MS) return memory
  return { ...memory, holdMs: memory.holdMs < 1000 ? 0 : memory.holdMs / 2, holdSetAt: now }
}
