import { expect, it } from 'vitest'
import { grpcTimeout, readGrpcTimeout } from '../../../../src/protocol/grpc/timeout.ts'

it.each([
  ['100m', 100],
  ['0S', 0],
  ['2H', 7_200_000],
  ['3M', 180_000],
  ['99999999S', 99_999_999_000],
  ['1500u', 1.5],
  ['500000n', 0.5],
])('reads %s', (value, ms) => expect(readGrpcTimeout(value)).toBeCloseTo(ms))

it.each(['', '100', 'm', '123456789m', '1.5S', '-1S', '1s', '1 S', '1Sx'])('does not read %j', (value) =>
  expect(readGrpcTimeout(value)).toBeUndefined(),
)

it.each([
  [0, '0m'],
  [1.9, '1m'],
  [-5, '0m'],
  [99_999_999, '99999999m'],
  [100_000_000, '100000S'],
  [100_000_999, '100000S'],
  [99_999_999_999, '99999999S'],
  [100_000_000_000, '1666666M'],
  [6e12, '1666666H'],
  [Infinity, '99999999H'],
])('writes %d ms as %s', (ms, text) => expect(grpcTimeout(ms)).toBe(text))

it('writes nothing that has more digits, or more time', () => {
  for (let ms = 1; ms < 1e14; ms *= 7.3) {
    const text = grpcTimeout(ms)
    expect(text).toMatch(/^\d{1,8}[HMSm]$/)
    const read = readGrpcTimeout(text) ?? Number.NaN
    expect(read).toBeLessThanOrEqual(ms)
    expect(ms - read).toBeLessThan(Math.max(1, ms / 1000))
  }
})
