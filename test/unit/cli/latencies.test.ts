import fc from 'fast-check'
import { expect, it } from 'vitest'
import { formatMs, Latencies } from '../../../src/cli/latencies.ts'

it('quantiles are those of the sorted values, to half a per cent', () => {
  const ms = fc.array(fc.double({ min: 0.002, max: 60_000, noNaN: true }), { minLength: 1, maxLength: 200 })
  fc.assert(
    fc.property(ms, fc.constantFrom(0.5, 0.9, 0.99, 1), (values, q) => {
      const latencies = new Latencies()
      for (const value of values) latencies.add(value)
      const exact = values.toSorted((a, b) => a - b)[
        Math.max(0, Math.ceil(q * values.length - 1e-9) - 1)
      ] as number
      expect(Math.abs(latencies.quantile(q) / exact - 1)).toBeLessThan(0.005)
      expect(latencies.max).toBe(Math.max(...values))
    }),
  )
})

it('in an open loop a stall counts for all the calls that it kept from being sent', () => {
  const latencies = new Latencies(10)
  for (let i = 0; i < 99; i++) latencies.add(1)
  latencies.add(1000)
  expect(latencies.quantile(0.5)).toBeGreaterThan(1)
  expect(latencies.quantile(0.9)).toBeGreaterThan(700)
})

it('are said in the unit they need', () => {
  expect([0.0004, 0.312, 4.5612, 63.71, 322.4, 1_203].map(formatMs)).toEqual([
    '0 µs',
    '312 µs',
    '4.56 ms',
    '63.7 ms',
    '322 ms',
    '1.20 s',
  ])
})
