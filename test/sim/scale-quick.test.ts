// The scaler in the simulator, short: what it costs, what it promises, and what the others cost on the same calls.
import { describe, expect, it } from 'vitest'
import { oracle } from '../../bench/sim/scale/oracle.ts'
import { play, type Score } from '../../bench/sim/scale/play.ts'
import type { Load } from '../../bench/sim/scale/pool.ts'
import { hpa, kpa, ours, utilisation } from '../../bench/sim/scale/rules.ts'
import {
  crowdLoad,
  diurnalLoad,
  POOL,
  poissonLoad,
  settingsOf,
  squareLoad,
  stepLoad,
} from '../../bench/sim/scale/scenarios.ts'
import * as special from '../../bench/sim/scale/special.ts'
import { OPTIONS } from '../../bench/sim/scale/sweep.ts'

const SEED = 1
/** Ours on a load, played once for all the tests that look at it. */
const played = new Map<string, { load: Load; score: Score }>()
function mine(scenario: typeof stepLoad): { load: Load; score: Score } {
  const before = played.get(scenario.name)
  if (before) return before
  const load = scenario.load(SEED)
  const score = play(load, settingsOf(scenario), ours(OPTIONS, 500), {
    untilMs: scenario.untilMs,
    seed: SEED,
  })
  played.set(scenario.name, { load, score })
  return { load, score }
}

describe('against an oracle that knows every call', () => {
  it.each([
    [poissonLoad, 1.15],
    [stepLoad, 1.3],
    [diurnalLoad, 1.15],
    [crowdLoad, 1.3],
  ])('$name costs at most %f times the replica-seconds', { timeout: 30_000 }, (scenario, limit) => {
    const { load, score } = mine(scenario)
    const { slots, startMs, sloMs, max } = POOL
    const bound = oracle(load, { slots, startMs, sloMs, max: 16, untilMs: scenario.untilMs, maxReversals: 3 })
    expect(max).toBeGreaterThan(16)
    expect(score.replicaSeconds / bound(score.violationSeconds).atLeast).toBeLessThan(limit)
    expect(score.worstReversals).toBeLessThanOrEqual(3)
  })
})

describe('against the known rules on the same steps', { timeout: 30_000 }, () => {
  it('none of them has both fewer violation-seconds and fewer replica-seconds', () => {
    const { load, score } = mine(stepLoad)
    const others = [
      kpa(POOL, { target: 0.9, stableMs: 60_000, delayMs: 300_000 }),
      hpa(POOL, { target: 0.7, downMs: 300_000 }),
      utilisation(POOL, { target: 0.8, windowMs: 5_000, downMs: 300_000, meanMs: POOL.meanMs }),
      utilisation(POOL, { target: 0.9, windowMs: 5_000, downMs: 300_000, meanMs: POOL.meanMs }),
    ]
    for (const rule of others) {
      const other = play(load, settingsOf(stepLoad), rule, { untilMs: stepLoad.untilMs, seed: SEED })
      const isBetter =
        other.violationSeconds <= score.violationSeconds && other.replicaSeconds <= score.replicaSeconds
      expect(`${rule.family} ${rule.setting}: ${isBetter ? 'better' : 'not better'}`).toMatch(/not better$/)
    }
  })

  it('the first move up comes within a second of a tenfold step', () => {
    const first = mine(stepLoad).score.changes.find(({ at }) => at >= 600_000)
    expect(first?.at).toBeLessThanOrEqual(601_000)
  })
})

/** Well-known rules at settings that keep the level of a wave. */
const holding = () => [
  kpa(POOL, { target: 0.9, stableMs: 60_000, delayMs: 300_000 }),
  hpa(POOL, { target: 0.7, downMs: 300_000 }),
  utilisation(POOL, { target: 0.9, windowMs: 5_000, downMs: 300_000, meanMs: POOL.meanMs }),
  utilisation(POOL, { target: 1, windowMs: 5_000, downMs: 300_000, meanMs: POOL.meanMs }),
]

describe('square waves', { timeout: 60_000 }, () => {
  it('cost one late edge, then the level is kept', () => {
    const { score } = mine(squareLoad(120_000, { untilMs: 20 * 60_000 }))
    expect(score.worstReversals).toBeLessThanOrEqual(3)
    expect(score.violationSeconds).toBeLessThan(20)
  })

  it.each([
    [400, 0.5],
    [600, 0.5],
    [700, 0.5],
    [300, 0.2],
    [400, 0.8],
  ])(
    'of %i s, high for %f of the time, cost no more violation-seconds than a rule of the same price',
    (periodS, duty) => {
      const wave = squareLoad(periodS * 1_000, { duty })
      const { load, score } = mine({ ...wave, name: `${wave.name} ${duty}` })
      expect(score.worstReversals).toBeLessThanOrEqual(3)
      for (const rule of holding()) {
        const other = play(load, settingsOf(wave), rule, { untilMs: wave.untilMs, seed: SEED })
        if (other.worstReversals > 3 || other.replicaSeconds > score.replicaSeconds * 1.05) continue
        expect(`${other.violationSeconds >= score.violationSeconds}: ${rule.family} ${rule.setting}`).toMatch(
          /^true/,
        )
      }
    },
  )
})

describe('the cache', { timeout: 30_000 }, () => {
  it('hides no load and fakes none: ten times the calls, all of them hits, move nothing', () => {
    const { changes } = special.allHits(SEED)
    expect(changes.filter(({ desired }) => desired > 2)).toEqual([])
  })

  it('lost under load, is answered before any call is late', () => {
    const told = special.cacheLost(SEED, true)
    const first = told.changes.find(({ at }) => at >= special.LOST_AT_MS)
    expect(first?.at).toBe(special.LOST_AT_MS)
    expect(first?.desired).toBeGreaterThanOrEqual(6)
    const before = told.decisions.find(({ at }) => at === special.LOST_AT_MS)
    expect(before?.reason).toBe('cache_lost')
    expect(before?.signals.observedP95Ms ?? 0).toBeLessThan(POOL.sloMs)
  })

  it('lost with a whole reserve kept for it, or emptied by a deployment announced in time, makes no call late', () => {
    const lateAfter = (outcome: special.Outcome) =>
      outcome.violations.filter((isLate, i) => isLate && Math.abs(i * 1000 - special.LOST_AT_MS) < 30_000)
        .length
    expect(lateAfter(special.cacheLost(SEED, true, 1))).toBeLessThanOrEqual(1)
    expect(lateAfter(special.rollout(SEED, 10_000))).toBeLessThanOrEqual(1)
    expect(lateAfter(special.rollout(SEED, undefined))).toBeGreaterThanOrEqual(5)
  })
})

describe('what replicas cannot mend', { timeout: 30_000 }, () => {
  it('an SLO below the service time is called infeasible and does not pin the pool at its maximum', () => {
    const { decisions, changes } = special.infeasible(SEED)
    expect(decisions.at(-1)?.sloFeasible).toBe(false)
    expect(Math.max(...changes.map(({ desired }) => desired))).toBeLessThan(12)
  })

  it('a bottleneck behind all replicas is recognised, and the pool stops growing', () => {
    const { decisions, changes } = special.bottleneck(SEED)
    expect(decisions.at(-1)?.scalingIneffective).toBe(true)
    expect(decisions.at(-1)?.sentence).toContain('the bottleneck is elsewhere')
    expect(Math.max(...changes.map(({ desired }) => desired))).toBeLessThan(20)
  })

  it('bursts that no mean shows are given room', () => {
    const outcome = special.smallBursts(SEED)
    expect(outcome.violationSeconds).toBeLessThanOrEqual(2)
    expect(outcome.decisions.at(-1)?.desired).toBeLessThanOrEqual(5)
  })
})
