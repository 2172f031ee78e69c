// Rollouts in the simulator, short: what moving costs with and without warming, what bad versions are given, and how often the judge errs.
import { describe, expect, it } from 'vitest'
import { judge } from '../../bench/sim/rollout/judging.ts'
import { moved } from '../../bench/sim/rollout/tables.ts'
import { draw, play, SETTING, type Setting } from '../../bench/sim/rollout/world.ts'

/** A tenth of the cache and a fifth of the load of the page in bench/results. */
const SMALL: Setting = {
  ...SETTING,
  keys: 200_000,
  rows: 100_000,
  perSecond: 400,
  sampled: 600_000,
  kept: 70_000,
  warmPerSecond: 200,
  options: { ...SETTING.options, sample: 100 },
  untilMs: 45 * 60_000,
}
const drawn = draw(SMALL)

describe('moving all calls', { timeout: 120_000 }, () => {
  it('warmed, costs a quarter of the misses of a cold switch, no latency, and no replica more than foreseen', () => {
    const cold = moved(play({ ...SMALL, how: 'switch', warmPerSecond: 0 }, drawn), SMALL)
    const told = play(SMALL, drawn)
    const warmed = moved(told, SMALL)
    expect(told.rollout.sentence).toContain('v2 has all calls')
    expect(warmed.worstMisses).toBeLessThan(cold.worstMisses / 4)
    expect(warmed.lowestHits).toBeGreaterThan(0.9)
    expect(warmed.p99).toBeLessThan(1.2)
    expect(warmed.replicas).toBeLessThanOrEqual(warmed.foreseen)
  })

  it('without warming, goes so slowly that nine tenths of the hits stay', () => {
    const told = play({ ...SMALL, warmPerSecond: 0, untilMs: 90 * 60_000 }, drawn)
    expect(told.rollout.sentence).toContain('v2 has all calls')
    expect(moved(told, SMALL).lowestHits).toBeGreaterThan(0.9)
  })
})

describe('a bad version', { timeout: 60_000 }, () => {
  it.each([
    ['errors', { failing: 0.05 }, 0.2],
    ['errors', { failing: 0.05 }, 0],
    ['latency', { slower: 1.5 }, 0.2],
    ['latency', { slower: 1.5 }, 0],
    ['differences', { differing: 0.01 }, 0.2],
  ] as const)(
    'is stopped for %s (%o, compared %f) before it has 5 % of the calls',
    (reason, bad, compare) => {
      const options = { ...SMALL.options, compare, sample: 300 }
      const { rollout, seconds } = play({ ...SMALL, warmPerSecond: 0, bad, options }, drawn)
      expect(rollout.reason).toBe(reason)
      expect(Math.max(...seconds.map(({ share }) => share))).toBeLessThan(5)
      expect(seconds.at(-1)?.share).toBe(0)
    },
  )
})

describe('the judge over 1,000 seeds', { timeout: 600_000 }, () => {
  it('stops versions that are equal at most ten times', () => {
    expect(judge({ failing: 0.01 }, 1_000).stopped).toBeLessThanOrEqual(10)
  })

  it('finds 5 percentage points more failures at least 950 times before the new version has 5 % of the calls', () => {
    expect(judge({ failing: 0.01, more: 0.05 }, 1_000).stoppedEarly).toBeGreaterThanOrEqual(950)
  })
})
