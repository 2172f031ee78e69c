import { describe, expect, it } from 'vitest'
import { bucketMs, latencyBucket, SlidingQuantiles, SlidingSum } from '../../../src/lib/window.ts'

describe('a sliding sum', () => {
  it('forgets what is older than its window', () => {
    const sum = new SlidingSum(10_000)
    sum.add(0, 5)
    sum.add(5_000, 2)
    expect(sum.total(9_999)).toBe(7)
    expect(sum.total(10_000)).toBe(2)
    expect(sum.total(14_999)).toBe(2)
    expect(sum.total(15_000)).toBe(0)
  })

  it('is empty after a long silence, and counts again', () => {
    const sum = new SlidingSum(10_000)
    sum.add(3, 5)
    expect(sum.total(1e9)).toBe(0)
    sum.add(1e9)
    expect(sum.total(1e9 + 1)).toBe(1)
  })

  it('loses nothing when the clock steps back', () => {
    const sum = new SlidingSum(10_000)
    sum.add(50_000, 3)
    sum.add(20_000, 4)
    expect(sum.total(50_001)).toBe(7)
  })
})

describe('sliding quantiles', () => {
  it('are within five percent', () => {
    const window = new SlidingQuantiles(30_000)
    for (let ms = 1; ms <= 1_000; ms++) window.add(ms, ms)
    for (const q of [0.1, 0.5, 0.95, 0.99]) {
      expect(Math.abs((window.quantile(1_000, q) ?? 0) / (q * 1_000) - 1)).toBeLessThan(0.05)
    }
  })

  it('are undefined of nothing, and forget', () => {
    const window = new SlidingQuantiles(30_000)
    expect(window.quantile(0, 0.5)).toBeUndefined()
    window.add(0, 10)
    expect(window.quantile(29_999, 0.5)).toBeCloseTo(10, 0)
    expect(window.quantile(30_000, 0.5)).toBeUndefined()
    expect(window.count(30_000)).toBe(0)
  })

  it('put every latency into a bucket whose middle is near it', () => {
    for (const ms of [0.06, 0.5, 1, 17, 333, 9_999, 90_000]) {
      expect(Math.abs(bucketMs(latencyBucket(ms)) / ms - 1)).toBeLessThan(0.05)
    }
    expect([latencyBucket(0), latencyBucket(-1), latencyBucket(Number.NaN)]).toEqual([0, 0, 0])
    expect(latencyBucket(1e12)).toBe(latencyBucket(120_000))
  })
})
