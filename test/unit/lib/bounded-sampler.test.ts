import { expect, it } from 'vitest'
import { BoundedSampler } from '../../../src/lib/bounded-sampler.ts'
import { createRandom } from '../../../src/lib/seeded-random.ts'

function sampled(perSecond: number) {
  let now = 0
  const sampler = new BoundedSampler({ now: () => now }, createRandom(3))
  let taken = 0
  let standsFor = 0
  for (let i = 0; i < 20 * perSecond; i++) {
    now += 1_000 / perSecond
    const isDue = sampler.isDue
    const stands = sampler.takes()
    expect(stands > 0).toBe(isDue)
    if (stands > 0) taken++
    standsFor += stands
  }
  return { taken: taken / 20, standsFor: standsFor / 20 }
}

it('takes all of few events, and a bounded number of many, which stand for all', () => {
  expect(sampled(50)).toEqual({ taken: 50, standsFor: 50 })
  for (const perSecond of [1_000, 10_000]) {
    const { taken, standsFor } = sampled(perSecond)
    expect(taken).toBeLessThan(400)
    expect(standsFor / perSecond).toBeGreaterThan(0.9)
    expect(standsFor / perSecond).toBeLessThan(1.1)
  }
})
