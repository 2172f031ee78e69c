/** Backoff: its bounds, for every attempt. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { backoffMs } from '../../../src/lib/backoff.ts'

test('a pause lies between half and all of the doubled base, and never above the maximum', () => {
  const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
  fc.assert(
    fc.property(fc.nat(10_000), unit, (attempt, random) => {
      const pause = backoffMs(attempt, { baseMs: 250, maxMs: 5_000, random: () => random })
      const ceiling = Math.min(5_000, 250 * 2 ** attempt)
      expect(pause).toBeGreaterThanOrEqual(ceiling / 2)
      expect(pause).toBeLessThanOrEqual(ceiling)
    }),
  )
})
