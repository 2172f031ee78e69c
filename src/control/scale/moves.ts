/**
 * When to move. A plan says what the load needs now; these rules say whether the pool goes there.
 *
 * Up is refused only where the last replicas did not help or are still awaited. Down is what must be earned: the level must not have been wanted for a while, and enough of the flap budget
 * must be left for the way back up. So reversals are bounded without ever withholding capacity.
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
  /** How long a level is kept after it was last wanted; grows when load comes back that was given up on. */
  readonly holdMs: number
  readonly holdSetAt: number
  /** The last move down: from where, and when so much had last been wanted. */
  readonly gaveUp?: { readonly replicas: number; readonly wantedAt: number }
}

/** No level is kept longer than this after it was last wanted. */
export const LONGEST_HOLD_MS = 1_800_000

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

/** Remembers that `replicas` are wanted now. */
export function noteWant(memory: MoveMemory, replicas: number, now: number): MoveMemory {
  const wants = memory.wants.filter((want) => want.at > now - LONGEST_HOLD_MS && want.replicas > replicas)
  return { ...memory, wants: [...wants, { at: now, replicas }] }
}

/** The most that was wanted at any time in the last `windowMs`. */
export function mostWanted(memory: MoveMemory, windowMs: number, now: number): number {
  for (const want of memory.wants) if (want.at >= now - windowMs) return want.replicas
  return 0
}

/** How long a level is kept: the present habit, or at least long enough for a start to pay. */
export function holdTime(memory: MoveMemory, options: ScaleOptions, startMs: number): number {
  const base = Math.min(options.downMs, Math.max(options.stableMs, 0.5 * options.downMs, 2 * startMs))
  return Math.max(base, memory.holdMs)
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
  const moved = {
    ...memory,
    desired: replicas,
    direction,
    changedAt: now,
    reversals: isTurn ? [...kept, now] : kept,
  } as const
  return direction === 'down' ? giveUp(moved, memory.desired, now) : comeBack(moved, options, now)
}

function giveUp(memory: MoveMemory, from: number, now: number): MoveMemory {
  const last = memory.wants.findLast((want) => want.replicas > memory.desired)
  return { ...memory, gaveUp: { replicas: from, wantedAt: last?.at ?? now } }
}

/** Load is back: had the level been kept a little longer than the gap, nobody would have waited. Learn the gap. */
function comeBack(memory: MoveMemory, options: ScaleOptions, now: number): MoveMemory {
  const { gaveUp } = memory
  if (!gaveUp || memory.desired < gaveUp.replicas * 0.75) return memory
  const gap = now - gaveUp.wantedAt
  const isSpent = reversalsWithin(memory, options, now) >= options.maxReversals
  const learnt = gap * 1.25 <= options.downMs ? gap * 1.25 : 0
  const doubled = isSpent ? Math.min(LONGEST_HOLD_MS, 2 * Math.max(memory.holdMs, options.downMs)) : 0
  const { gaveUp: _, ...rest } = memory
  return { ...rest, holdMs: Math.max(memory.holdMs, learnt, doubled), holdSetAt: now }
}

/** Forgets half of a learnt hold for every half hour without new evidence for it. */
export function relax(memory: MoveMemory, now: number): MoveMemory {
  if (memory.holdMs === 0 || now - memory.holdSetAt < LONGEST_HOLD_MS) return memory
  return { ...memory, holdMs: memory.holdMs < 1000 ? 0 : memory.holdMs / 2, holdSetAt: now }
}
