import { describe, expect, it } from 'vitest'
import { advance } from '../../../../src/control/rollout/advance.ts'
import { overruled, pause, resume, rollBack, startRollout } from '../../../../src/control/rollout/commands.ts'
import type { PoolDeed } from '../../../../src/control/rollout/judge.ts'
import {
  effectsOf,
  type Rollout,
  type RolloutOptions,
  type RolloutSeen,
} from '../../../../src/control/rollout/state.ts'
import { timeBucket } from '../../../../src/lib/fine-times.ts'

const SPLIT = {
  pools: [
    { pool: 'v1', weight: 90 },
    { pool: 'v2', weight: 0 },
    { pool: 'other', weight: 10 },
  ],
  written: 'as it is',
}
const OPTIONS: RolloutOptions = {
  steps: [10, 100],
  holdMs: 10_000,
  sample: 100,
  limits: { maxErrors: 0.005, maxLatency: 1.2 },
  warm: false,
  compare: 0,
}

const deed = (calls: number, bad = 0, ms = 20): PoolDeed => ({
  calls,
  bad,
  times: [timeBucket(ms), calls - bad],
})

function begun(options: Partial<RolloutOptions> = {}): Rollout {
  const rollout = startRollout({ route: 'ranker', to: 'v2', options: { ...OPTIONS, ...options } }, SPLIT, 0)
  if ('refused' in rollout) throw new Error(rollout.refused)
  return rollout
}

/** Goes on for so many seconds, in each of which the route is as `seen` says. */
function play(rollout: Rollout, seconds: number, seen: Partial<RolloutSeen> = {}): Rollout {
  let next = rollout
  const from = clock
  while (clock < from + seconds) {
    clock++
    next = advance(next, {
      now: clock * 1000,
      sinceMs: 1000,
      deeds: { old: deed(100), new: deed(next.share > 0 ? 20 : 0), compared: 0, different: 0 },
      route: { calls: 200, misses: 100 },
      replicas: { ready: 1, wanted: 1 },
      canCompare: false,
      ...seen,
    })
  }
  return next
}
let clock = 0

describe('a rollout', () => {
  it('moves only its own two pools, and no step before its smallest sample', () => {
    clock = 0
    const measured = play(begun(), 10)
    expect(measured).toMatchObject({ phase: 'moving', share: expect.any(Number) })
    const few = play(measured, 60, { deeds: { old: deed(100), new: deed(1), compared: 0, different: 0 } })
    expect(few.share).toBe(10)
    expect(few.sampled).toBeLessThan(100)
    expect(effectsOf(few).weights).toEqual({ v1: 81, v2: 9 })
    const all = play(few, 600)
    expect(all).toMatchObject({ phase: 'done', share: 100 })
    expect(effectsOf(all)).toMatchObject({ weights: { v1: 0, v2: 90 }, expected: {} })
  })

  it('waits for the backends that the next move needs, and goes back where they do not come', () => {
    clock = 0
    const waits = play(begun(), 60, { replicas: { ready: 1, wanted: 3 } })
    expect(waits).toMatchObject({ phase: 'measuring', share: 0 })
    expect(waits.sentence).toContain('v2 has 1 of the 3 backends that it needs')
    expect(effectsOf(waits).expected).toMatchObject({ v2: expect.any(Number) })
    expect(play(waits, 1_000, { replicas: { ready: 1, wanted: 3 } })).toMatchObject({
      phase: 'back',
      reason: 'backends',
    })
  })

  it('goes back where a step does not get its calls in time', () => {
    clock = 0
    const none = { deeds: { old: deed(100), new: deed(0), compared: 0, different: 0 } }
    const back = play(begun({ stepTimeoutMs: 60_000 }), 200, none)
    expect(back).toMatchObject({ phase: 'back', reason: 'samples', share: 0 })
    expect(back.sentence).toContain('--min-sample')
  })

  it('in a pause moves nothing, but is still judged', () => {
    clock = 0
    const paused = pause(play(begun(), 40), clock * 1000) as Rollout
    expect(play(paused, 600)).toMatchObject({ share: paused.share, isPaused: true })
    const bad = play(paused, 60, { deeds: { old: deed(100), new: deed(20, 10), compared: 0, different: 0 } })
    expect(bad).toMatchObject({ phase: 'back', reason: 'errors', share: 0 })
    expect(play(resume(paused, clock * 1000) as Rollout, 600)).toMatchObject({ phase: 'done' })
  })

  it('is slower about a cold cache, and takes hits that stay away for lost', () => {
    clock = 0
    const cold = { route: { calls: 1000, misses: 100 } }
    const first = play(begun({ steps: [50, 100] }), 12, cold)
    expect(first.share).toBeLessThan(10)
    const stuck = play(first, 300, { route: { calls: 1000, misses: 400 } })
    expect(stuck.share).toBe(first.share)
    expect(stuck.sentence).toContain('waits until more are back')
    expect(play(stuck, 600, { route: { calls: 1000, misses: 400 } }).share).toBeGreaterThan(first.share)
  })

  it('is judged with all calls as well, by what the old pool had', () => {
    clock = 0
    let last = play(begun({ holdMs: 60_000 }), 40)
    while (last.share < 100) last = play(last, 1)
    const bad = { deeds: { old: deed(0), new: deed(20, 3), compared: 0, different: 0 } }
    expect(play(last, 30, bad)).toMatchObject({ phase: 'back', reason: 'errors', share: 0 })
  })

  it('is over where the YAML says another split, and where an operator takes it back', () => {
    expect(overruled(begun(), 1)).toMatchObject({ phase: 'back', reason: 'settings' })
    clock = 0
    const done = play(begun(), 600)
    expect(done.phase).toBe('done')
    expect(rollBack(done, 1)).toMatchObject({ phase: 'back', reason: 'operator', share: 0 })
  })

  it.each([
    [{ to: 'v3' }, 'has no pool "v3"; it has v1, v2, other'],
    [{ to: 'v2', from: 'v4' }, 'has no pool "v4"'],
    [{ to: 'v1', from: 'v2' }, '"v2" has no calls'],
    [{ to: 'v1', from: 'v1' }, 'name another one'],
  ])('is refused with a reason: %o', (given, reason) => {
    const refused = startRollout({ route: 'ranker', options: OPTIONS, ...given }, SPLIT, 0)
    expect('refused' in refused && refused.refused).toContain(reason)
  })
})
