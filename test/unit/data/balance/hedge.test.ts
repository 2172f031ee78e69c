import { describe, expect, it } from 'vitest'
import { Hedger } from '../../../../src/data/balance/hedge.ts'

const fine = { remainingMs: 10_000, routable: 3, saturation: 0.2 }

function warm(latencies: (sample: number) => number = (sample) => 1 + (sample % 100)): Hedger {
  const hedger = new Hedger()
  for (let sample = 0; sample < 1_000; sample++) hedger.observe(sample, latencies(sample))
  return hedger
}

describe('hedging', () => {
  it('waits as long as nineteen of twenty calls take', () => {
    expect((warm().start({ now: 1_000, ...fine }) ?? 0) / 95).toBeCloseTo(1, 1)
  })

  it('waits a millisecond at the least', () => {
    expect(warm(() => 0.2).start({ now: 1_000, ...fine })).toBe(1)
  })

  it.each([
    ['the pool has one backend', { routable: 1 }],
    ['the pool is busy', { saturation: 0.7 }],
    ['there is no time for a second try', { remainingMs: 120 }],
  ])('is left when %s', (_, less) => {
    expect(warm().start({ now: 1_000, ...fine, ...less })).toBeUndefined()
  })

  it('needs a hundred latencies, and recent ones', () => {
    const hedger = new Hedger()
    for (let sample = 0; sample < 99; sample++) hedger.observe(0, 10)
    expect(hedger.start({ now: 0, ...fine })).toBeUndefined()
    hedger.observe(0, 10)
    expect(hedger.start({ now: 500, ...fine })).toBeDefined()
    expect(hedger.start({ now: 31_000, ...fine })).toBeUndefined()
  })

  it('adds five in a hundred at the most, however many flights are late', () => {
    const hedger = warm()
    let hedges = 0
    for (let flight = 0; flight < 10_000; flight++) {
      hedger.start({ now: 1_000 + flight, ...fine })
      if (hedger.tryTake()) hedges++
    }
    expect(hedges / 10_000).toBeLessThanOrEqual(0.051)
    expect(hedges / 10_000).toBeGreaterThan(0.045)
  })

  it('saves up ten hedges and no more', () => {
    const hedger = warm()
    for (let flight = 0; flight < 5_000; flight++) hedger.start({ now: 1_000, ...fine })
    let hedges = 0
    while (hedger.tryTake()) hedges++
    expect(hedges).toBe(10)
  })

  it('pauses when it seldom helps, and tries again later', () => {
    const hedger = warm()
    for (let hedge = 0; hedge < 1_000; hedge++) hedger.settle(1_000, hedge % 20 === 0)
    expect(hedger.start({ now: 1_000, ...fine })).toBeUndefined()
    for (let sample = 0; sample < 200; sample++) hedger.observe(301_001, 10)
    expect(hedger.start({ now: 301_002, ...fine })).toBeDefined()
  })

  it('goes on when one in ten helps', () => {
    const hedger = warm()
    for (let hedge = 0; hedge < 1_000; hedge++) hedger.settle(1_000, hedge % 10 === 0)
    expect(hedger.start({ now: 1_000, ...fine })).toBeDefined()
  })
})
