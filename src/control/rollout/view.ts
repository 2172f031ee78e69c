/** A rollout as the admin API, the events and the dashboard show it. */
import type { RolloutView } from '../../core/live.ts'
import { hitsNow, isOver, nextStep, type Rollout } from './state.ts'

export function viewOf(rollout: Rollout): RolloutView {
  const { route, from, to, phase, share, sampled, sample, compared, differed, options, judged, reason } =
    rollout
  const { oldCalls, oldBad, newCalls, newBad } = judged.evidence.errors.seen
  return {
    route,
    from,
    to,
    phase,
    isOver: isOver(rollout),
    isPaused: rollout.isPaused,
    sharePercent: round(share),
    ...(phase === 'moving' ? { nextPercent: nextStep(rollout) } : {}),
    steps: options.steps,
    sampled,
    sample,
    compared,
    differed,
    ...(rollout.hitsBefore === undefined ? {} : { hits: round(hitsNow(rollout)) }),
    failures: { old: { calls: oldCalls, bad: oldBad }, new: { calls: newCalls, bad: newBad } },
    ...(reason === undefined ? {} : { reason }),
    startedAt: new Date(rollout.startedAt).toISOString(),
    sentence: rollout.sentence,
    history: rollout.history.map(({ at, sentence }) => ({ at: new Date(at).toISOString(), sentence })),
  }
}

function round(value: number): number {
  return Number(value.toFixed(3))
}
