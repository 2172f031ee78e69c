import { describe, expect, it } from 'vitest'
import { Sampler } from '../../../src/lib/sampler.ts'
import { createRandom } from '../../../src/lib/seeded-random.ts'

describe('a sampler', () => {
  it('takes every event of a share of one', () => {
    const sampler = new Sampler(1, () => 0.5)
    expect([sampler.isDue, sampler.takes(), sampler.isDue, sampler.takes()]).toEqual([true, true, true, true])
  })

  it.each([0.5, 0.1, 0.01])('takes a share of %s', (share) => {
    const sampler = new Sampler(share, createRandom(7))
    const events = 100_000
    let taken = 0
    for (let i = 0; i < events; i++) {
      const { isDue } = sampler
      if (sampler.takes()) taken++
      else expect(isDue).toBe(false)
    }
    // Five standard deviations of the binomial distribution.
    expect(Math.abs(taken - share * events)).toBeLessThan(5 * Math.sqrt(events * share * (1 - share)))
  })
})
