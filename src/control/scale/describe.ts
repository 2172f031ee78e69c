/** A pool's scale for operators: the number, the sentence, and what is behind it. */
import type { ScaleStatus } from './scaler.ts'

export interface ScaleDescription {
  readonly pool: string
  readonly desired: number
  readonly ready: number
  readonly starting: number
  readonly min: number
  readonly max: number
  readonly reason: string
  /** One sentence for people. */
  readonly sentence: string
  readonly [member: string]: unknown
}

export function describeScale(status: ScaleStatus): ScaleDescription {
  const { signal, role, isSettled, emitters } = status
  const { at: _, from, signals, ...decision } = signal.decision
  return {
    pool: signal.pool,
    ...decision,
    from,
    decisionId: signal.id,
    token: signal.token,
    at: new Date(signal.atMs).toISOString(),
    speaks: isSettled ? SPEAKS[role] : 'not yet: backends that are there are given time to register',
    emitters,
    demand: signals,
  }
}

const SPEAKS = {
  alone: 'for itself: no Redis is shared with other gateways',
  leader: 'for all gateways that share its Redis',
  follower: 'not: another gateway speaks for all',
} as const
