import { describe, expect, it } from 'vitest'
import { bucketMs, latencyBucket, SlidingQuantiles } from '../../../src/lib/window.ts'

describe('a sliding count', () => {
  const add = (window: SlidingQuantiles, now: number, times = 1) => {
    for (let i = 0; i < times; i++) window.add(now, 1)
  }

  it('forgets what is older than its window', () => {
    const window = new SlidingQuantiles(10_000)
    add(window, 0, 5)
    add(window, 5_000, 2)
    expect(window.count(9_999)).toBe(7)
    expect(window.count(10_000)).toBe(2)
    expect(window.count(14_999)).toBe(2)
    expect(window.count(15_000)).toBe(0)
  })

  it('is empty after a long silence, and counts again', () => {
    const window = new SlidingQuantiles(10_000)
    add(window, 3, 5)
    expect(window.count(1e9)).toBe(0)
    add(window, 1e9)
    expect(window.count(1e9 + 1)).toBe(1)
  })

  it('loses nothing when the clock steps back', () => {
    const window = new SlidingQuantiles(10_000)
    add(window, 50_000, 3)
    add(window, 20_000, 4)
    expect(window.count(50_001)).toBe(7)
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
