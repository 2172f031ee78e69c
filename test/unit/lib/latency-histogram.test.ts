import fc from 'fast-check'
import { expect, it } from 'vitest'
import { LatencyHistogram } from '../../../src/lib/latency-histogram.ts'

const QUANTILES = [0, 0.5, 0.9, 0.99, 0.9999, 1]

function exactly(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(q * values.length - 1e-9) - 1)] as number
}

const durations = fc.array(fc.integer({ min: 0, max: 2 ** 31 - 1 }), { minLength: 1, maxLength: 200 })

it('quantiles are those of the sorted values, to 0.4 %', () => {
  fc.assert(
    fc.property(durations, fc.constantFrom(...QUANTILES), (values, q) => {
      const histogram = new LatencyHistogram()
      for (const value of values) histogram.add(value)
      const exact = exactly(values, q)
      expect(Math.abs(histogram.quantile(q) - exact)).toBeLessThanOrEqual(0.004 * exact)
      expect(histogram.maxUs).toBe(Math.max(...values))
    }),
  )
})

it('every whole microsecond below 256 is told apart', () => {
  for (let us = 0; us < 256; us++) {
    const histogram = new LatencyHistogram()
    histogram.add(us)
    expect(histogram.quantile(0.5)).toBe(us)
  }
})

it('what several have counted adds up to what one had', () => {
  fc.assert(
    fc.property(durations, durations, (some, others) => {
      const [one, other, all] = [new LatencyHistogram(), new LatencyHistogram(), new LatencyHistogram()]
      for (const value of some) one.add(value)
      for (const value of others) other.add(value)
      for (const value of [...some, ...others]) all.add(value)
      one.merge(other.counts())
      expect(one.counts()).toEqual(all.counts())
      expect(one.total).toBe(some.length + others.length)
      expect(one.meanUs).toBe(all.meanUs)
    }),
  )
})

it('of nothing, everything is 0; what is too long counts as the longest', () => {
  const histogram = new LatencyHistogram()
  expect([histogram.quantile(0.5), histogram.meanUs, histogram.maxUs]).toEqual([0, 0, 0])
  histogram.add(1e12)
  histogram.add(-5)
  expect([histogram.quantile(0), histogram.quantile(1)]).toEqual([0, 2 ** 31 - 1])
})
