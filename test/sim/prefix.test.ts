import { describe, expect, it } from 'vitest'
import { cacheAware, ours, runArm, WORLD } from '../../bench/sim/prefix/run.ts'

describe('calls with shared prompts in simulation', { timeout: 60_000 }, () => {
  it.each([
    [75, 1],
    [110, 2],
    [125, 1],
  ])(
    'at %i a second find as much in the caches as with cache_aware, at less imbalance, seed %i',
    (perSecond, seed) => {
      const world = { ...WORLD, perSecond, seed, untilMs: 90_000 }
      const theirs = runArm('cache_aware', cacheAware, world)
      const [one, four] = [1, 4].map((workers) => runArm('prefix', ours('prefix', seed, { workers }), world))
      for (const own of [one, four]) {
        expect(own?.hitShare).toBeGreaterThan(0.985 * theirs.hitShare)
        expect(own?.imbalance).toBeLessThan(theirs.imbalance)
        expect(own?.ttftP99Ms).toBeLessThanOrEqual(1.1 * theirs.ttftP99Ms)
      }
      expect(runArm('peak-ewma', ours('peak-ewma', seed), world).hitShare).toBeLessThan(
        0.85 * theirs.hitShare,
      )
    },
  )
})
