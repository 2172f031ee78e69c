import { describe, expect, it } from 'vitest'
import { critical, partsOf, quantileOf, silence, twoTenants, useOf } from '../../bench/sim/fair/scenarios.ts'

const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8]

describe('tenants at one pool in simulation', { timeout: 120_000 }, () => {
  it.each([
    { workers: 1, apart: false },
    { workers: 2, apart: false },
    { workers: 2, apart: true },
    { workers: 4, apart: false },
  ])(
    'share the rows by their weights within two seconds: $workers workers, apart: $apart',
    async ({ workers, apart }) => {
      for (const seed of SEEDS) {
        const world = await twoTenants({ seed, workers, places: 16 }, apart)
        for (const from of [0, 1_000, 2_000, 3_000])
          expect(Math.abs((partsOf(world, from, from + 1_000)['heavy'] ?? 0) - 0.75)).toBeLessThan(0.02)
        expect(useOf(world, 16, [500, 3_500])).toBeGreaterThan(0.95)
      }
    },
  )

  it('give one all that the other does not want, and its share back at once', async () => {
    for (const seed of SEEDS) {
      const world = await silence({ seed, places: 16 })
      expect(useOf(world, 16, [1_300, 2_000])).toBeGreaterThan(0.98)
      expect(partsOf(world, 1_300, 2_000)['light']).toBeUndefined()
      expect(Math.abs((partsOf(world, 2_010, 3_000)['heavy'] ?? 0) - 0.75)).toBeLessThan(0.02)
    }
  })

  it('leave what is left to one that is sheddable: a hundredth where nothing is', async () => {
    const third = { name: 'third', priority: 'sheddable', callers: 120 } as const
    for (const seed of SEEDS) {
      const parts = partsOf(await twoTenants({ seed, places: 16 }, false, [third]), 100, 4_000)
      expect(parts['third']).toBeGreaterThan(0.004)
      expect(parts['third']).toBeLessThan(0.012)
      expect(Math.abs((parts['heavy'] ?? 0) - 0.75)).toBeLessThan(0.02)
    }
  })

  it.each([
    { workers: 1, places: 32, floor: 0 },
    { workers: 2, places: 32, floor: 0 },
    { workers: 1, places: 4, floor: 1 },
    { workers: 2, places: 4, floor: 2 },
  ])(
    'keep the p99 of a critical one under a flood: $workers workers, $places places, floor $floor',
    async ({ workers, places, floor }) => {
      const [alone, flooded] = [[], []] as [
        Awaited<ReturnType<typeof critical>>[],
        Awaited<ReturnType<typeof critical>>[],
      ]
      for (const seed of SEEDS) {
        alone.push(await critical({ seed, workers, places }, false, floor))
        flooded.push(await critical({ seed, workers, places }, true, floor))
      }
      const ratio = quantileOf(flooded, 'critical', 0.99) / quantileOf(alone, 'critical', 0.99)
      expect(ratio).toBeLessThan(1.2)
    },
  )
})
