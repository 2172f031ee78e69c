/**
 * Decides between up, down and stay, with a reason. The first condition that applies decides, so that "why is it still
 * at nine" has an answer.
 */

import type { Reason } from './decision.ts'
import type { ScaleOptions } from './demand.ts'
import { usualHold } from './load-recurrence.ts'
import { keptLevel, type MoveMemory, mayTurnDown, mostWanted } from './moves.ts'
import { expectedLate, leastSlots, toleratedLate } from './plan.ts'
import { clamp, type Sized } from './size.ts'

export interface Case extends Sized {
  readonly now: number
  readonly moves: MoveMemory
  readonly holdMs: number
  readonly isPanic: boolean
  /** Replicas are starting or warming up. */
  readonly isUnsettled: boolean
  /** A cache was lost, or is about to be, and the load after it has not settled. */
  readonly isCacheFresh: boolean
  /** The last move up has not been judged yet. */
  readonly isAwaited: boolean
  /** Replicas that serve now. */
  readonly ready: number
  /** Calls have been late for some seconds. */
  readonly isLate: boolean
  /** Moves up in a row that did not help. */
  readonly failures: number
  /** Misses a second at which more replicas were found not to help; undefined: they help. */
  readonly ineffectiveAbove: number | undefined
}

export interface Ruling {
  readonly desired: number
  readonly reason: Reason
}

/** Known before the load shows it: no reason to wait for it. */
const FORESEEN: ReadonlySet<Reason> = new Set(['cache_lost', 'cache_reserve', 'rollout'])

export function rule(it: Case, options: ScaleOptions): Ruling {
  const present = it.moves.desired
  if (it.want > present) return up(it, options)
  const candidate = lowest(it, options)
  if (candidate >= present)
    return { desired: present, reason: it.want < present ? whyHeld(it, options) : 'steady' }
  const obstacle = obstacleToDown(it, options)
  if (obstacle) return { desired: present, reason: obstacle }
  return { desired: candidate, reason: candidate === 0 ? 'idle' : 'load_fell' }
}

function up(it: Case, options: ScaleOptions): Ruling {
  const present = it.moves.desired
  if (present === 0) return { desired: it.want, reason: 'woken' }
  const isForeseen = FORESEEN.has(it.cause)
  if (isForeseen || it.stuck > 0) return { desired: it.want, reason: it.cause }
  const doubt = doubtAboutUp(it)
  if (doubt) return { desired: present, reason: doubt }
  if (it.isLearning) return learning(it)
  const late = expectedLate(it.rate.perSecond, present * it.facts.slots, it.facts, options)
  const isTolerable = late <= toleratedLate(it.facts.service, options)
  if (isTolerable && !it.isPanic && it.drain === 0) return { desired: present, reason: 'steady' }
  // After a move that did not help, the next one is small: it is a test.
  const most = it.failures > 0 ? Math.ceil(present * 1.25) : it.want
  return { desired: Math.min(it.want, most), reason: it.cause }
}

/**
 * The slots of a replica are still unknown: the plan uses a lower bound, and there may be ten times as many. It is
 * therefore not acted on unless calls are late or replicas are full, and then with at most twice the present replicas.
 */
function learning(it: Case): Ruling {
  const present = it.moves.desired
  if (!it.isLate && !it.isFull) return { desired: present, reason: 'hold_learning' }
  const most = Math.max(present, 2 * it.ready)
  if (present >= most) return { desired: present, reason: it.isUnsettled ? 'hold_starting' : 'hold_learning' }
  return { desired: Math.min(it.want, most), reason: it.isLate ? 'late_calls' : it.cause }
}

function doubtAboutUp(it: Case): Reason | undefined {
  if (it.ineffectiveAbove !== undefined && it.rate.perSecond <= it.ineffectiveAbove * 1.1)
    return 'hold_ineffective'
  return it.isAwaited ? 'hold_trial' : undefined
}

/**
 * The fewest replicas the pool may go down to: the most that was wanted while the level is held, and enough for a
 * little more than the present load, or the move would be undone at once.
 */
function lowest(it: Case, options: ScaleOptions): number {
  // Zero is wanted only after the idle time, which is longer than any hold.
  if (it.want === 0) return 0
  const ample = leastSlots(it.rate.perSecond * (1 + options.deadband), it.facts, options)
  const safe = clamp(Math.ceil(ample / it.facts.slots - 1e-9), options)
  return Math.max(keptLevel(it.moves, options, it), safe, it.want)
}

/** Why the level is kept: as after every peak, or longer because of its past absences. */
function whyHeld({ moves, now, startMs }: Case, options: ScaleOptions): Reason {
  if (mostWanted(moves, usualHold(options, startMs), now) >= moves.desired) return 'hold_recent_peak'
  if (!moves.absences.isKnown) return 'hold_new_load'
  return moves.absences.returns.length > 0 ? 'hold_return' : 'hold_recent_peak'
}

function obstacleToDown(it: Case, options: ScaleOptions): Reason | undefined {
  if (it.isPanic) return 'hold_panic'
  if (it.isUnsettled) return 'hold_starting'
  if (it.isCacheFresh) return 'hold_cache'
  if (it.now - it.moves.watchingSince < usualHold(options, it.startMs)) return 'hold_recent_peak'
  if (it.moves.direction === 'up' && it.now - it.moves.changedAt < it.startMs) return 'hold_recent_peak'
  if (!mayTurnDown(it.moves, options, it.now)) return 'hold_flap_budget'
  return undefined
}
